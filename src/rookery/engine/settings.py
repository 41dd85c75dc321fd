"""What the engine wants to know of the configuration, with no trace of where it was read.

``rookery.config`` holds the defaults and the descriptions; the composition root copies them here.
Every number names its unit; 0 never means "no limit".
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The bounds of one node. (Each is described, with its default, in the configuration.)"""

    packet_bytes_max: int
    client_id_bytes_max: int
    topic_bytes_max: int
    topic_levels_max: int
    receive_maximum: int
    inflight_max: int
    queue_messages_max: int
    queue_bytes_max: int
    queue_seconds_max: int | None
    output_bytes_max: int
    subscriptions_per_session_max: int
    retained_messages_max: int
    retained_bytes_max: int
    connections_max: int
    sessions_max: int
    connects_per_second_max: int
    connect_deadline_seconds: float
    keep_alive_seconds_max: int
    session_expiry_seconds_max: int
    topic_aliases_in_max: int
    topic_aliases_out_max: int


@dataclass(frozen=True)
class Behaviour:
    """The choices the standard leaves to a server."""

    node_id: str
    persistent_session_expiry_seconds: int
    """How long a 3.x session with clean session 0 outlives its link; 5.0 clients say it themselves."""
    server_keep_alive_seconds: int | None
    """Told to 5.0 clients in place of their own keep alive; ``None`` keeps theirs."""
    share_strategy: str
    """``round_robin``, ``random``, ``sticky`` or ``least_inflight``."""
    payload_format_checked: bool
    """Whether a payload declared to be UTF-8 is checked. (MQTT 5.0, 3.3.2.3.2)"""
    response_information: str | None
    """The prefix of response topics told to clients that ask; ``None`` tells none."""
    server_reference: str | None
    """Where clients are sent when this node is full or shuts down; ``None`` sends them nowhere."""
    sys_interval_seconds: float
    """How often the ``$SYS`` topics are published; 0 turns them off."""
    shared_prefer_local: bool = False
    """Whether a share group's members on the publisher's node go before all others."""


@dataclass(frozen=True)
class Rates:
    """How much of something may come in a second; ``None`` is as much as comes."""

    connects_per_second_max: float | None = None
    messages_per_second_max: float | None = None
    bytes_per_second_max: float | None = None
    burst_seconds: float = 1.0
    """How many seconds' worth may come at once after a pause."""


@dataclass(frozen=True)
class Protection:
    """What one client, address or user may take of the node at most."""

    client: Rates | None = None
    """What bounds each client; ``None`` where nothing does, as below."""
    client_exceeding_ends: bool = False
    """Whether a client that exceeds its rates is sent away (0x96) rather than paced."""
    address: Rates | None = None
    """What bounds all clients of one address together."""
    connections_per_address_max: int | None = None
    connections_per_user_max: int | None = None
    half_open_max: int = 1_000_000
    """Connections whose CONNECT has not come yet."""
    half_open_per_address_max: int = 1_000_000
    addresses_max: int = 100_000
    """Addresses that something is remembered of, beside those with a connection."""


@dataclass(frozen=True)
class Denial:
    """What becomes of a client that does what it may not do."""

    denied_v5_disconnects: bool = False
    """Whether a 5.0 client is disconnected, and not only answered so."""
    denied_v3_disconnects: bool = False
    """The same for clients of 3.1 and 3.1.1."""


@dataclass(frozen=True)
class Settings:
    """All the engine's settings."""

    limits: Limits
    behaviour: Behaviour
    denial: Denial = Denial()
    protection: Protection = Protection()
