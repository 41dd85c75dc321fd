"""The wire: MQTT 3.1, 3.1.1 and 5.0 as values and bytes, with no I/O, clock or randomness."""
