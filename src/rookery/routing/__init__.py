"""Who gets a message: the router, share groups and the index of retained messages."""
