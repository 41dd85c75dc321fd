"""The settings that bound what the node and its clients may use."""

from typing import Annotated

from pydantic import Field

from rookery.config.sections import Section


class Limits(Section):
    """The bounds of the node. Each holds always: no value turns a limit off."""

    packet_bytes_max: Annotated[int, Field(ge=128, le=268_435_460)] = 1_048_576
    """Bytes of one control packet from a client; a longer one ends its connection."""
    client_id_bytes_max: Annotated[int, Field(ge=23, le=65535)] = 1024
    """Bytes of a client id."""
    topic_bytes_max: Annotated[int, Field(ge=1, le=65535)] = 65535
    """Bytes of a topic name or topic filter."""
    topic_levels_max: Annotated[int, Field(ge=1, le=65535)] = 128
    """Topic levels (parts between `/`) of a topic name or topic filter."""
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 1024
    """QoS 1 and 2 messages a client may send before the first is acknowledged."""
    inflight_max: Annotated[int, Field(ge=1, le=65535)] = 1024
    """QoS 1 and 2 messages sent to a client before the first is acknowledged; a client that gives a
    lower receive maximum gets that."""
    queue_messages_max: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000
    """Messages that wait for one session, connected or not."""
    queue_bytes_max: Annotated[int, Field(ge=1024, le=2**40)] = 16_777_216
    """Bytes of the messages that wait for one session."""
    output_bytes_max: Annotated[int, Field(ge=4096, le=2**40)] = 4_194_304
    """Bytes written to one client that it has not read yet; beyond them QoS 0 messages are dropped and
    others wait in the queue."""
    subscriptions_per_session_max: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """Subscriptions of one session."""
    retained_messages_max: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1_000_000
    """Retained messages of the node."""
    retained_bytes_max: Annotated[int, Field(ge=1024, le=2**50)] = 1_073_741_824
    """Bytes of all retained messages of the node."""
    connections_max: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Connections at one time, on all listeners together."""
    connects_per_second_max: Annotated[int, Field(ge=1, le=10_000_000)] = 5_000
    """New connections per second, on all listeners together."""
    connect_deadline_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    """Seconds a new connection has until its CONNECT is complete."""
    keep_alive_seconds_max: Annotated[int, Field(ge=1, le=65535)] = 65535
    """Seconds of keep alive told to a 5.0 client that asks for more (or, where this is below 65535, for
    none). Clients of 3.1 and 3.1.1 cannot be told, so they keep theirs."""
    session_expiry_seconds_max: Annotated[int, Field(ge=0, le=4_294_967_295)] = 4_294_967_295
    """Seconds a session outlives its connection; a client that asks for more gets these. 4294967295
    stands for sessions that never expire."""
    topic_aliases_in_max: Annotated[int, Field(ge=0, le=65535)] = 64
    """Topic aliases a client may use towards the node."""
    topic_aliases_out_max: Annotated[int, Field(ge=0, le=65535)] = 16
    """Topic aliases the node uses towards a client; one that allows fewer gets fewer."""
