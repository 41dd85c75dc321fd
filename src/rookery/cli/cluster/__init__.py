"""``rookery cluster``: several nodes on this machine, and the cluster that a node is in."""
