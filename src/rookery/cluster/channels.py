"""How gRPC is set up on both sides."""

from typing import Final

import grpc

from rookery.cluster.security import Credentials

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Much more than any message of the handshake or a status has."""
OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
)
CHANNEL_OPTIONS: Final = (
    *OPTIONS,
    # Each stream has a connection of its own: one that a network swallowed must not be met again.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
)
SERVER_OPTIONS: Final = (
    *OPTIONS,
    # Two nodes on one port would share it without a word.
    ("grpc.so_reuseport", 0),
    # Lets go of connections whose other end is gone without having said so.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


def open_channel(
    address: str, credentials: Credentials | None, certificate_name: str | None = None
) -> grpc.aio.Channel:
    """A channel to a node; it dials when it is used first. Close it.

    Where a name is given the node's certificate has to name that, and not the host of its address.
    """
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
    options: tuple[tuple[str, int | str], ...] = CHANNEL_OPTIONS
    if certificate_name is not None:
        options = (*options, ("grpc.ssl_target_name_override", certificate_name))
    return grpc.aio.secure_channel(address, credentials.channel(), options=options)
