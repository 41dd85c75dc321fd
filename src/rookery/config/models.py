"""The configuration as models: every setting with its default, its bounds and its meaning.

The models know nothing of files, variables or positions; ``rookery.config.load`` fills them and tells
of their errors. A model that exists is valid, however it was made. The larger sections have modules of
their own beside this one.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from rookery.config.authentication import Auth, Authentication
from rookery.config.authorization import Authorization
from rookery.config.cluster import Cluster, Surroundings, cluster_problems, nats_routes, seeds
from rookery.config.errors import Path
from rookery.config.limits import Bans, Limits, Overload
from rookery.config.listeners import Listener
from rookery.config.sections import (
    ANY_HOSTS,
    Expected,
    FilePath,
    Host,
    MqttText,
    NodeId,
    Peers,
    Port,
    Problem,
    Section,
)


def default_node_id(settings: dict[str, Any]) -> str:
    """Two nodes on one machine differ in their port, so they differ in their default name."""
    return f"rookery-{settings.get('mqtt_port', 1883)}"


class Broker(Section):
    """The node's name, its ports and its users."""

    mqtt_port: Port = 1883
    """The port of the default listener, and of every `tcp` listener that names none."""
    grpc_port: Port = 8081
    """The port other nodes of the cluster reach this one by."""
    metrics_port: Port = 8082
    """The port of `/metrics`, `/health/live` and `/health/ready`, and in a cluster of `/cluster`."""
    dashboard_port: Port = 18083
    """The port of the dashboard and the REST API."""
    node_id: NodeId = Field(default_factory=default_node_id)
    """The node's name: unlike that of any other node, the same after a restart. The default is made
    from the port, `rookery-<mqtt_port>`."""
    peer_nodes: Peers = ()
    """The other nodes of the cluster as `host` or `host:port` of their gRPC port; a list, or one text with
    commas. Their NATS servers are looked for at these hosts (`cluster.nats.routes`), and by way of those all
    nodes hear of each other's gRPC ports; so some are enough. A node on its own does not use it."""
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
    """The users that the configuration itself lists."""


class Mqtt(Section):
    """The choices that the MQTT standard leaves to a server."""

    persistent_session_expiry_seconds: Annotated[int, Field(ge=0, le=4_294_967_295)] = 604_800
    """Seconds the session of a 3.1 or 3.1.1 client with clean session 0 outlives its connection; never
    more than `limits.session_expiry_seconds_max`. (5.0 clients name their own.)"""
    server_keep_alive_seconds: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Seconds of keep alive told to 5.0 clients in place of their own; null leaves them theirs."""
    share_strategy: Literal["round_robin", "random", "sticky", "least_inflight"] = "round_robin"
    """Which member of a share group gets the next message."""
    shared_prefer_local: bool = False
    """Whether, in a cluster, a share group's members on the publisher's node are asked first. Messages then cross
    the network less, and members elsewhere may get fewer."""
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
    has it (a crash of the machine may lose the last ones), `memory` that this process has it. A node of a
    cluster has no choice: a majority of `cluster.nats.replicas` servers has it on disk."""
    directory: FilePath | None = None
    """The directory of the database, for this node alone; at null `rookery-data/<node_id>` beside the
    configuration file, or in the working directory where there is no file; a relative path starts there too.
    It is made, for its owner only, where it is not there yet."""
    access_directory: FilePath | None = None
    """The directory of the users, rules, bans and audit that commands write (`rookery user` and its like), which
    nodes of one machine may share; at null the directory of the database. Backups take them from there only."""
    bytes_max: Annotated[int, Field(ge=16_777_216, le=2**50)] = 10_737_418_240
    """Bytes the database may take on disk. Beyond four fifths of it the node warns; at it, messages that must
    be kept are refused."""


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
    """The node's name, its ports and its users."""
    listeners: Annotated[tuple[Listener, ...], Strict(False)] = ()
    """The addresses that clients connect to; an empty list stands for one TCP listener on
    `broker.mqtt_port` of every IPv4 interface."""
    limits: Limits = Limits()
    """The bounds of the node and its clients."""
    bans: Bans = Bans()
    """The bans that the node makes by itself."""
    overload: Overload = Overload()
    """When the node protects itself from more work than it can do."""
    mqtt: Mqtt = Mqtt()
    """The choices that the MQTT standard leaves to a server."""
    store: Store = Store()
    """Where the node keeps what must outlive it."""
    authentication: Authentication = Authentication()
    """Who is let in: the sources that know clients, and what holds for clients that none knows."""
    authorization: Authorization = Authorization()
    """What clients may publish and subscribe to."""
    log: Log = Log()
    """What the node writes to standard error."""
    metrics: Metrics = Metrics()
    """The HTTP service of `/metrics` and `/health`."""
    cluster: Cluster = Cluster()
    """A node among others: clients may come to any of them."""

    @property
    def active_listeners(self) -> tuple[Listener, ...]:
        """The listeners to open, with everything filled in that the configuration left at null."""
        if not self.listeners:
            return (self._filled(Listener(type="tcp", name="tcp"), 0),)
        return tuple(self._filled(listener, index) for index, listener in enumerate(self.listeners))

    @property
    def seeds(self) -> tuple[str, ...]:
        """The gRPC addresses of the peers that the configuration names."""
        return seeds(self.broker.peer_nodes, self.broker.grpc_port)

    @property
    def nats_routes(self) -> tuple[str, ...]:
        """The route addresses of the peers' NATS servers that the configuration names."""
        return nats_routes(self.cluster.nats, self.broker.peer_nodes)

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
        yield from self._access_problems()
        yield from cluster_problems(self.cluster, self._surroundings())
        yield from self._address_problems()

    def _surroundings(self) -> Surroundings:
        broker = self.broker
        return Surroundings(
            peers=broker.peer_nodes,
            node_id=broker.node_id,
            node_id_given="node_id" in broker.model_fields_set,
            namespace=broker.pod_namespace,
            durability=self.store.durability,
        )

    def order_of(self, listener: Listener) -> tuple[str, ...]:
        """The sources that a listener asks."""
        if listener.authentication is not None:
            return listener.authentication
        return () if self.broker.auth.enabled is False else self.authentication.order

    def anonymous_of(self, listener: Listener) -> Literal["deny", "loopback", "allow"] | None:
        """From where a listener lets in anonymous clients; ``None`` as long as nothing knows any client."""
        if listener.anonymous is not None:
            return listener.anonymous
        enabled = self.broker.auth.enabled
        if enabled is None:
            return self.authentication.anonymous
        return "deny" if enabled else "allow"

    def _access_problems(self) -> Iterable[Problem]:
        for index, listener in enumerate(self.listeners):
            for place, name in self.authentication.missing(listener.authentication or ()):
                yield (
                    ("listeners", index, "authentication", place),
                    f"is {name}, but authentication.{name} is not set",
                )
        enabled, anonymous = self.broker.auth.enabled, self.authentication.anonymous
        meant = "deny" if enabled else "allow"
        if enabled is not None and anonymous not in (None, meant):
            said = str(enabled).lower()
            text = f"is {anonymous}, but broker.auth.enabled is {said}, which means {meant}; leave one out"
            yield ("authentication", "anonymous"), text

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
        if self.cluster.enabled:
            yield ("broker", "grpc_port"), self.cluster.host, self.broker.grpc_port
            if not self.cluster.nats.urls:
                nats = self.cluster.nats
                yield ("cluster", "nats", "port"), "127.0.0.1", nats.port
                yield ("cluster", "nats", "route_port"), self.cluster.host, nats.route_port
