"""Actors without a word of MQTT: the run queue, the timer wheel, the clock, background tasks."""
