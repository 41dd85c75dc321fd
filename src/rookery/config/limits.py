"""The settings that bound what the node and its clients may use."""

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from rookery.config.sections import Expected, Problem, Section

Rate = Annotated[float, Field(ge=0.001, le=1e12)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


def _network(value: str) -> str:
    ip_network(value, strict=False)
    return value


Network = Annotated[
    str,
    AfterValidator(_network),
    Field(max_length=64),
    Expected("an address or a network, as 192.0.2.7 or 192.0.2.0/24 or 2001:db8::/32"),
]


class MessageRates(Section):
    """What may come in a second. What comes faster is not refused: it is read more slowly."""

    messages_per_second_max: Rate | None = None
    """PUBLISH packets per second; at null as many as come."""
    bytes_per_second_max: Rate | None = None
    """Bytes per second, of all packets; at null as many as come."""
    burst_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    """How many seconds' worth may come at once after a pause."""


class ClientRates(MessageRates):
    """What each client may send in a second."""

    on_exceed: Literal["pause", "disconnect"] = "pause"
    """Whether a client that sends faster is read more slowly, or sent away (0x96, message rate too high)."""


class AddressRates(MessageRates):
    """What all clients of one address may send together in a second. A /64 of IPv6 is one address."""

    connects_per_second_max: Rate | None = None
    """New connections per second; further ones are closed at once. At null as many as come."""


class ListenerLimits(AddressRates):
    """What all connections of one listener may take together."""

    connects_per_second_max: Rate | None = None
    """New connections per second; further ones wait with the system. At null as many as come."""
    connections_max: Count | None = None
    """Connections at one time; further ones are closed at once. At null as many as the node may have."""


class AuthenticationFailures(Section):
    """When an address is banned for a while because too many of its clients could not prove who they are."""

    failures_max: Count = 100
    """Failures within the window that are one too many."""
    window_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """The window."""
    ban_seconds: Annotated[float, Field(ge=1, le=31_536_000)] = 60.0
    """How long the address is banned."""


class Flapping(Section):
    """When a client id is banned for a while because its clients connect again and again."""

    connects_max: Count = 15
    """Connects within the window that are one too many."""
    window_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """The window."""
    ban_seconds: Annotated[float, Field(ge=1, le=31_536_000)] = 300.0
    """How long the client id is banned."""


class Bans(Section):
    """The bans that the node makes by itself. (Those of operators are made with `rookery ban`.)"""

    failures: AuthenticationFailures | None = AuthenticationFailures()
    """When an address is banned for failed authentications; null is never."""
    flapping: Flapping | None = None
    """When a client id is banned for connecting again and again; null is never."""
    exempt_addresses: Annotated[tuple[Network, ...], Strict(False)] = ("127.0.0.0/8", "::1/128")
    """Addresses and networks that the node never bans by itself: proxies, and gateways that many clients
    share."""
    automatic_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Bans of the node's own at one time; beyond them the oldest goes."""


class Overload(Section):
    """When the node protects itself, and those it serves, from more work than it can do."""

    memory_bytes_max: Annotated[int, Field(ge=16_777_216, le=2**50)] | None = None
    """Bytes of memory beyond which new connections are refused; from nine tenths of it on, work that can wait
    is put off. At null four fifths of what the control group or else the machine has."""
    loop_lag_seconds_max: Annotated[float, Field(ge=0.001, le=60)] = 0.5
    """How late the event loop may be; when it stays later, the same is done."""
    sustained_seconds: Annotated[float, Field(ge=0, le=600)] = 5.0
    """How long the loop must be late before connections are refused, and how long all must be well again before
    the node is as always."""


class Limits(Section):
    """The bounds of the node and its clients. What may be null bounds nothing then; all else holds always."""

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
    queue_seconds_max: Annotated[int, Field(ge=1, le=4_294_967_295)] | None = None
    """Seconds that a message of QoS 1 or 2 waits for a durable session without a connection; one that is older
    when its client is back is dropped and counted. At null only the message's own expiry ends the wait."""
    output_bytes_max: Annotated[int, Field(ge=4096, le=2**40)] = 4_194_304
    """Bytes written to one client that it has not read yet; beyond them QoS 0 messages are dropped and
    others wait in the queue."""
    subscriptions_per_session_max: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """Subscriptions of one session; one of more than 16 topic levels counts as one more for every 16."""
    retained_messages_max: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1_000_000
    """Retained messages of the node. In a cluster all nodes have all of them: the one where a message is published
    refuses it, those of other nodes count and are always taken."""
    retained_bytes_max: Annotated[int, Field(ge=1024, le=2**50)] = 1_073_741_824
    """Bytes of all retained messages of the node."""
    connections_max: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Connections at one time, on all listeners together."""
    sessions_max: Annotated[int, Field(ge=1, le=100_000_000)] = 1_000_000
    """Sessions of the node, with and without a connection; a client that needs one more is refused."""
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
    client: ClientRates | None = None
    """What each client may send in a second; null bounds nothing."""
    address: AddressRates | None = None
    """What all clients of one address may send together in a second; null bounds nothing."""
    connections_per_address_max: Count | None = None
    """Connections of one address at one time; further ones are closed at once. Null bounds nothing."""
    connections_per_user_max: Count | None = None
    """Connections of one user at one time; a further one is refused (0x97). Null bounds nothing."""
    half_open_max: Count = 10_000
    """Connections that have sent no CONNECT yet; when there is one more, the oldest is closed."""
    half_open_per_address_max: Count = 1_000
    """The same of one address; when there is one more, the oldest of that address is closed."""

    def _problems(self) -> Iterable[Problem]:
        if self.half_open_per_address_max > self.half_open_max:
            yield (
                ("half_open_per_address_max",),
                f"is more than half_open_max ({self.half_open_max}), so it would never hold",
            )
