"""Rows about several nodes: what passes between them costs and takes, and what the loss of one does."""
