"""Long offline: what a broker needs to keep for sessions that are away, and to give it back."""
