"""What makes several nodes one broker: the engine below them, the streams between them, who is alive."""

import os

# gRPC looks at these when it is imported. Its core would write to standard error by itself, of every handshake that
# failed say, where what is worth telling stands in the node's log; and its handlers of ``fork`` are for programs
# whose children go on using it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
