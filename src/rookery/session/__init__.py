"""One client's state, the same for 3.1, 3.1.1 and 5.0; it outlives the client's links."""
