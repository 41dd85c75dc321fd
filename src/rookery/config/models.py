"""The configuration as models: every setting with its default, its bounds and its meaning.

The models know nothing of files, variables or positions; ``rookery.config.load`` fills them and tells
of their errors. A model that exists is valid, however it was made.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    Strict,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rookery.auth.passwords import BCRYPT_PASSWORD_BYTES_MAX, PasswordFormatError, parse_password
from rookery.config.errors import Path
from rookery.mqtt.topics import SHARE_PREFIX, TOPIC_BYTES_MAX, validate_topic_filter

ANY_HOSTS = frozenset({"0.0.0.0", "::", ""})  # Addresses that stand for every interface.

Problem = tuple[Path, str]
"""Settings that do not go together: the path below the model, and what would be right."""

TOLERATE_PROBLEMS: Final = "tolerate problems"
"""As the context of a validation: let settings pass that do not go together, to ask ``problems`` after."""


@dataclass(frozen=True)
class Expected:
    """Says in words what a setting takes, where its type and bounds do not say it well."""

    text: str


def _port(value: object) -> object:
    """Take ``":1883"`` and ``"1883"`` for 1883, as the predecessor did."""
    if isinstance(value, str) and value.removeprefix(":").isdecimal() and len(value) <= 6:
        return int(value.removeprefix(":"))
    return value


def _comma_list(value: object) -> object:
    """Take ``"a, b"`` for ``["a", "b"]``."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _mqtt_text(value: str) -> str:
    if "\x00" in value or len(value.encode()) > 65535:
        raise ValueError("not to be written in a packet")
    return value


def _topic_filter(value: str) -> str:
    # An authorizer sees topic filters without their share group.
    if value.startswith(SHARE_PREFIX) or not validate_topic_filter(value, TOPIC_BYTES_MAX):
        raise ValueError("no topic filter")
    return value


Port = Annotated[
    int,
    BeforeValidator(_port),
    Field(ge=0, le=65535),
    Expected('a port from 0 to 65535, as 1883 or ":1883" (0 lets the system choose one)'),
]
MqttText = Annotated[
    str,
    AfterValidator(_mqtt_text),
    Field(min_length=1),
    Expected("a text of 1 to 65535 bytes in UTF-8 without U+0000"),
]
Host = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._:%-]+$", max_length=255),
    Expected("an IP address or a host name, without a port"),
]
FilePath = Annotated[
    str,
    Field(pattern=r"^[^\x00]+$", max_length=4096),
    Expected("the path of a file"),
]
NodeId = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:-]*$", max_length=128),
    Expected("a name of 1 to 128 letters, digits and . _ @ : - that begins with a letter or digit"),
]
Peer = Annotated[
    str,
    Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$", max_length=255),
    Expected("host or host:port"),
]
Peers = Annotated[tuple[Peer, ...], BeforeValidator(_comma_list), Strict(False)]


class Section(BaseModel):
    """What all models have in common: no unknown keys, no change, no silent conversions."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    def _problems(self) -> Iterable[Problem]:
        """The settings here that are right each by itself but not together."""
        return ()

    def problems(self) -> Iterator[Problem]:
        """The settings here and below that do not go together; of a valid model there are none."""
        yield from self._problems()
        for name in type(self).model_fields:
            value = getattr(self, name)
            below = enumerate(value) if isinstance(value, tuple) else [(None, value)]
            for index, section in below:
                if isinstance(section, Section):
                    place = (name,) if index is None else (name, index)
                    yield from (((*place, *path), text) for path, text in section.problems())

    @model_validator(mode="after")
    def _settings_go_together(self, info: ValidationInfo) -> Self:
        if info.context is TOLERATE_PROBLEMS:
            return self
        problems = list(self._problems())
        if problems:
            text = "; ".join(text for _, text in problems)
            raise PydanticCustomError("problems", "{text}", {"text": text, "problems": problems})
        return self


class User(Section):
    """A name and password that let a client in."""

    username: MqttText
    """The name the client gives in CONNECT."""
    password: Annotated[SecretStr, Field(min_length=1, max_length=65535)]
    """The password, or better its hash: `$2b$...` with algorithm `bcrypt`, `sha256$SALT$HEX` with
    `sha256`. A password that is no hash is hashed while loading (`plain` keeps it as it is)."""
    algorithm: Literal["bcrypt", "sha256", "plain"] = "bcrypt"
    """How the password is hashed. Only `bcrypt` resists guessing by someone who has read the hash."""
    enabled: bool = True
    """Whether this user is let in."""

    @property
    def hashed(self) -> bool:
        """Whether the configuration holds the hash and not the password itself."""
        text = self.password.get_secret_value()
        return parse_password(text, self.algorithm, self.username) is not None and (
            self.algorithm != "plain"
        )

    def _problems(self) -> Iterable[Problem]:
        try:
            hashed = self.hashed
        except PasswordFormatError as error:
            yield ("password",), f"is no whole hash: {error}"
            return
        length = len(self.password.get_secret_value().encode())
        if self.algorithm == "bcrypt" and not hashed and length > BCRYPT_PASSWORD_BYTES_MAX:
            yield ("password",), f"is too long: bcrypt takes {BCRYPT_PASSWORD_BYTES_MAX} bytes"


class Auth(Section):
    """Who is let in."""

    enabled: bool | None = None
    """Whether every client must give the name and password of a user. Left at null, that is so as soon
    as a user is listed."""
    users: Annotated[tuple[User, ...], Strict(False)] = ()
    """The users that are let in."""

    @property
    def anonymous_allowed(self) -> bool:
        """Whether a client gets in without a name and password."""
        return not self.users if self.enabled is None else not self.enabled

    def _problems(self) -> Iterable[Problem]:
        names = [user.username for user in self.users]
        for index, name in enumerate(names):
            first = names.index(name)
            if first != index:
                text = f"is the name of users.{first} already; every user needs a name of their own"
                yield ("users", index, "username"), text


def _default_node_id(settings: dict[str, Any]) -> str:
    """Two nodes on one machine differ in their port, so they differ in their default name."""
    return f"rookery-{settings.get('mqtt_port', 1883)}"


class Broker(Section):
    """The node's name, its ports and who is let in."""

    mqtt_port: Port = 1883
    """The port of the default listener, and of every `tcp` listener that names none."""
    grpc_port: Port = 8081
    """The port other nodes of the cluster reach this one by."""
    metrics_port: Port = 8082
    """The port of `/metrics`, `/health/live` and `/health/ready`."""
    dashboard_port: Port = 18083
    """The port of the dashboard and the REST API."""
    node_id: NodeId = Field(default_factory=_default_node_id)
    """The node's name: unlike that of any other node, the same after a restart. The default is made
    from the port, `rookery-<mqtt_port>`."""
    peer_nodes: Peers = ()
    """The other nodes of the cluster as `host` or `host:port` of their gRPC port; a list, or one text
    with commas. A node on its own does not use it."""
    pod_namespace: (
        Annotated[
            str,
            Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63),
            Expected("a Kubernetes namespace: up to 63 small letters, digits and -"),
        ]
        | None
    ) = None
    """The Kubernetes namespace in which other nodes are looked for. A node on its own does not use it."""
    auth: Auth = Auth()
    """Who is let in."""


class Tls(Section):
    """The certificates of a listener."""

    certificate: FilePath
    """The PEM file with the listener's certificate, its chain after it."""
    private_key: FilePath
    """The PEM file with the certificate's private key."""
    password: Annotated[SecretStr, Field(min_length=1, max_length=1024)] | None = None
    """The password of an encrypted private key."""
    ca: FilePath | None = None
    """The PEM file with the authorities whose client certificates are believed."""
    client_certificate: Literal["none", "optional", "required"] = "none"
    """Whether clients are asked for a certificate, and whether one without is turned away."""

    def _problems(self) -> Iterable[Problem]:
        if self.client_certificate != "none" and self.ca is None:
            yield (
                ("ca",),
                "is missing: client certificates are checked against the PEM file it names",
            )


class Listener(Section):
    """One address that clients connect to."""

    type: Literal["tcp", "tls", "ws", "wss", "unix"]
    """MQTT over plain TCP, over TLS, over WebSocket, over WebSocket with TLS, or on a unix socket."""
    name: (
        Annotated[
            str,
            Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64),
            Expected(
                "a name of 1 to 64 letters, digits and . _ - that begins with a letter or digit"
            ),
        ]
        | None
    ) = None
    """What logs, metrics and rules call it; at null its type and place in the list: `tls-1`."""
    host: Host | None = None
    """The address to listen on; at null `0.0.0.0`, every IPv4 interface. `::` is every IPv6 one."""
    port: Port | None = None
    """The port to listen on; a `tcp` listener takes `broker.mqtt_port` at null."""
    path: FilePath | None = None
    """Of a `unix` listener the socket's file; of `ws` and `wss` the path in the URL, `/mqtt` at null."""
    tls: Tls | None = None
    """The certificates of a `tls` or `wss` listener."""
    proxy_protocol: bool = False
    """Whether every connection begins with a PROXY protocol header (v1 or v2), whose address is then
    taken for the client's. Only for listeners that nobody but the proxy can reach."""
    backlog: Annotated[int, Field(ge=1, le=65535)] = 1024
    """How many connections the system holds until they are accepted."""

    def _problems(self) -> Iterable[Problem]:
        secure = self.type in ("tls", "wss")
        if secure and self.tls is None:
            yield (
                ("tls",),
                f"is missing: a {self.type} listener needs certificate and private_key here",
            )
        if not secure and self.tls is not None:
            kind = "wss" if self.type == "ws" else "tls"
            yield (
                ("tls",),
                f"is not for a {self.type} listener; leave it out, or make the type {kind}",
            )
        if self.type == "unix":
            yield from self._unix_problems()
        else:
            yield from self._network_problems()

    def _unix_problems(self) -> Iterable[Problem]:
        if self.path is None:
            yield ("path",), "is missing: the file of the unix socket"
        elif len(self.path.encode()) > 107:
            yield ("path",), "is too long: the system takes 107 bytes for a unix socket"
        for key in ("host", "port"):
            if getattr(self, key) is not None:
                yield (key,), "is not for a unix listener, which has a path; leave it out"

    def _network_problems(self) -> Iterable[Problem]:
        if self.port is None and self.type != "tcp":
            usual = {"tls": 8883, "ws": 8083, "wss": 8084}[self.type]
            yield ("port",), f"is missing: the port of a {self.type} listener ({usual} is usual)"
        if self.path is None:
            return
        if self.type in ("tcp", "tls"):
            yield ("path",), f"is not for a {self.type} listener; leave it out"
        elif not self.path.startswith("/"):
            yield ("path",), f'must begin with "/", as "/{self.path}"'


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


class Mqtt(Section):
    """The choices that the MQTT standard leaves to a server."""

    persistent_session_expiry_seconds: Annotated[int, Field(ge=0, le=4_294_967_295)] = 604_800
    """Seconds the session of a 3.1 or 3.1.1 client with clean session 0 outlives its connection; never
    more than `limits.session_expiry_seconds_max`. (5.0 clients name their own.)"""
    server_keep_alive_seconds: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Seconds of keep alive told to 5.0 clients in place of their own; null leaves them theirs."""
    share_strategy: Literal["round_robin", "random", "sticky", "least_inflight"] = "round_robin"
    """Which member of a share group gets the next message."""
    payload_format_checked: bool = True
    """Whether a payload that is declared to be UTF-8 is checked to be."""
    response_information: MqttText | None = None
    """The prefix of response topics told to 5.0 clients that ask for it; null tells none."""
    server_reference: MqttText | None = None
    """The other server that 5.0 clients are sent to when this node is full or shuts down; null names
    none."""
    sys_interval_seconds: Annotated[float, Field(ge=0, le=86400)] = 10.0
    """Seconds between two publications of the `$SYS` topics; 0 turns them off."""


class Store(Section):
    """Where the node keeps what must outlive it."""

    durability: Literal["fsync", "os", "memory"] = "fsync"
    """What an acknowledgement promises: `fsync` that the message is on disk, `os` that the operating system
    has it (a crash of the machine may lose the last ones), `memory` that this process has it."""
    directory: FilePath | None = None
    """The directory of the database, for this node alone; at null `rookery-data/<node_id>` beside the
    configuration file, or in the working directory where there is no file; a relative path starts there too.
    It is made, for its owner only, where it is not there yet."""
    bytes_max: Annotated[int, Field(ge=16_777_216, le=2**50)] = 10_737_418_240
    """Bytes the database may take on disk. Beyond four fifths of it the node warns; at it, messages that must
    be kept are refused."""


class Rule(Section):
    """One line of the authorization: what is allowed or denied to whom."""

    permission: Literal["allow", "deny"]
    """What the rule says of the requests that it matches."""
    action: Literal["publish", "subscribe", "all"]
    """The requests the rule is about."""
    topic_filter: Annotated[
        MqttText,
        AfterValidator(_topic_filter),
        Expected("a topic filter: + and # fill a whole level, # only the last one"),
    ]
    """The topics the rule is about."""
    username: MqttText | None = None
    """The user the rule is about; null is every user and anonymous clients."""
    client_id: MqttText | None = None
    """The client id the rule is about; null is every one."""
    literal: bool = False
    """Whether the rule is about subscriptions with this very topic filter. Otherwise a rule that denies
    also refuses wider filters, because they would bring what it denies."""


class Authorization(Section):
    """What clients may publish and subscribe to."""

    default: Literal["allow", "deny"] = "allow"
    """What holds for a request that no rule matches."""
    rules: Annotated[tuple[Rule, ...], Strict(False)] = ()
    """The rules in order: the first that matches decides."""


class Log(Section):
    """What the node writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""
    format: Literal["json", "console", "auto"] = "auto"
    """One JSON object per line, or text for people; `auto` is text on a terminal and JSON elsewhere."""
    repeat_limit_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 60
    """Lines per minute of the same event; further ones are counted and summed up in one line."""


class Metrics(Section):
    """The HTTP service of `/metrics` and `/health`."""

    enabled: bool = True
    """Whether the service runs."""
    host: Host = "0.0.0.0"
    """The address it listens on, at `broker.metrics_port`."""


class Config(Section):
    """All the settings of a node."""

    broker: Broker = Broker()
    """The node's name, its ports and who is let in."""
    listeners: Annotated[tuple[Listener, ...], Strict(False)] = ()
    """The addresses that clients connect to; an empty list stands for one TCP listener on
    `broker.mqtt_port` of every IPv4 interface."""
    limits: Limits = Limits()
    """The bounds of the node. Each holds always: no value turns a limit off."""
    mqtt: Mqtt = Mqtt()
    """The choices that the MQTT standard leaves to a server."""
    store: Store = Store()
    """Where the node keeps what must outlive it."""
    authorization: Authorization = Authorization()
    """What clients may publish and subscribe to."""
    log: Log = Log()
    """What the node writes to standard error."""
    metrics: Metrics = Metrics()
    """The HTTP service of `/metrics` and `/health`."""

    @property
    def active_listeners(self) -> tuple[Listener, ...]:
        """The listeners to open, with everything filled in that the configuration left at null."""
        if not self.listeners:
            return (self._filled(Listener(type="tcp", name="tcp"), 0),)
        return tuple(self._filled(listener, index) for index, listener in enumerate(self.listeners))

    def _filled(self, listener: Listener, index: int) -> Listener:
        name = listener.name or f"{listener.type}-{index}"
        if listener.type == "unix":
            return listener.model_copy(update={"name": name})
        port = self.broker.mqtt_port if listener.port is None else listener.port
        path = (listener.path or "/mqtt") if listener.type in ("ws", "wss") else None
        host = listener.host or "0.0.0.0"
        return listener.model_copy(update={"name": name, "host": host, "port": port, "path": path})

    def _problems(self) -> Iterable[Problem]:
        names: dict[str, str] = {}
        for index, listener in enumerate(self.active_listeners):
            assert listener.name is not None  # active_listeners names every one.
            first = names.setdefault(listener.name, f"listeners.{index}")
            if first != f"listeners.{index}":
                yield (
                    ("listeners", index, "name"),
                    f"{listener.name} is the name of {first} already",
                )
        yield from self._address_problems()

    def _address_problems(self) -> Iterable[Problem]:
        """No two services of the node can share an address."""
        taken: list[tuple[str, str, int]] = []
        for path, host, port in self._addresses():
            for other, other_host, other_port in taken:
                same_host = host == other_host or not ANY_HOSTS.isdisjoint({host, other_host})
                if port == other_port and same_host:
                    yield path, f"is port {port}, which {other} has already; give it another"
                    break
            if port:  # 0 is another port each time.
                taken.append((".".join(map(str, path)), host, port))

    def _addresses(self) -> Iterable[tuple[Path, str, int]]:
        for index, listener in enumerate(self.active_listeners):
            if listener.host is None or listener.port is None:  # That is an error of its own.
                continue
            listed: Path = ("listeners", index, "port")
            yield (
                listed if self.listeners else ("broker", "mqtt_port"),
                listener.host,
                listener.port,
            )
        if self.metrics.enabled:
            yield ("broker", "metrics_port"), self.metrics.host, self.broker.metrics_port
