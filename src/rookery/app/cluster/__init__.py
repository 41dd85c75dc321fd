"""One node's part in a cluster, put together."""
