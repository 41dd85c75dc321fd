"""The other nodes as the engine sees them: who is sent what, and what comes from them."""
