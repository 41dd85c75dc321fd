"""Rookery: an MQTT broker."""
