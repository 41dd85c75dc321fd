"""The broker of one node."""
