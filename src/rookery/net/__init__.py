"""The network's side of the node: listening sockets and the byte-stream layers above a socket."""
