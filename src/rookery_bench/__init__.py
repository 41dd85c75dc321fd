"""Measures a broker from outside: load, CPU per message, latency, memory, next to other brokers."""
