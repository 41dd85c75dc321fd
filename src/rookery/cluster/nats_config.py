"""The settings of one NATS server and the text it is configured with. Nothing is started here.

Passwords are derived from the cluster's secret, one for each purpose, so that whoever reads the configuration of a
server learns what lets one into NATS and not the secret that nodes prove themselves to each other with.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rookery.cluster.names import server_name, server_tag

CLIENT_USER: Final = "rookery"
SYSTEM_USER: Final = "system"
ROUTE_USER: Final = "route"

PAYLOAD_BYTES_MAX: Final = 8 << 20
"""How large one record of a log may be; NATS advises against more."""
CONTROL_LINE_BYTES_MAX: Final = 64 << 10
"""Room for the longest subject with its reply subject; the default of 4 KiB is short for escaped names."""
PENDING_BYTES_MAX: Final = 256 << 20
"""How much may wait for a client that reads slowly: some batches of the largest records."""
ROUTE_PING_INTERVAL: Final = "500ms"
ROUTE_PINGS_MAX: Final = 3
"""A server that is cut off or stands still closes no connection. Without pings its own go on to be asked for copies
that it holds, which delays an adoption, and after the cut the old connection waits for its next retransmission, which
may be half a minute away. With these it is given up within 2 seconds and connected to anew every second."""
ROUTE_TLS_SECONDS_MAX: Final = 5
"""How long a handshake between two servers may take."""
LOG_BYTES_MAX: Final = 16 << 20
LOG_FILES_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class RouteTls:
    """The PEM files of mutual TLS between the servers. The certificate has to be good for servers and for clients."""

    certificate: Path
    private_key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class NatsServerSettings:
    """What distinguishes one server of the cluster from the others."""

    node_id: str
    directory: Path
    """Where its configuration, its log and its streams lie."""
    secret: str
    """The cluster's secret, from which all passwords are derived."""
    client_host: str = "127.0.0.1"
    client_port: int = 4222
    route_host: str = "127.0.0.1"
    route_port: int = 6222
    routes: tuple[str, ...] = ()
    """``host:port`` of the routes of the other servers; its own may be among them, as ``route_host`` and ``route_port``.

    Where there is no other, the server stands alone: NATS forms no cluster of one, and does not take over the
    streams of a server that stood alone when it becomes one of several.
    """
    route_tls: RouteTls | None = None
    """How the servers prove to each other who they are, and keep others from reading; ``None`` is in clear."""
    cluster_name: str = "rookery"
    binary: Path | None = None
    """The program; ``None`` looks for it beside Python and on the path."""
    monitoring_port: int | None = None
    """A port on loopback for NATS's own HTTP pages; ``None`` is none."""

    @property
    def others(self) -> tuple[str, ...]:
        """The routes of the other servers."""
        own = endpoint(self.route_host, self.route_port)
        return tuple(route for route in self.routes if route != own)


def password(secret: str, user: str) -> str:
    """The password of one of the users, 256 bits in hexadecimal digits."""
    return hmac.new(secret.encode(), f"rookery nats {user}".encode(), hashlib.sha256).hexdigest()


def configuration(settings: NatsServerSettings) -> str:
    """The text of the server's configuration file."""
    lines = [
        f"server_name: {quoted(server_name(settings.node_id))}",
        f"server_tags: [{quoted(server_tag(server_name(settings.node_id)))}]",
        f"listen: {quoted(endpoint(settings.client_host, settings.client_port))}",
        f"max_payload: {PAYLOAD_BYTES_MAX}",
        f"max_control_line: {CONTROL_LINE_BYTES_MAX}",
        f"max_pending: {PENDING_BYTES_MAX}",
        f"log_file: {quoted(str(log_path(settings)))}",
        f"logfile_size_limit: {LOG_BYTES_MAX}",
        f"logfile_max_num: {LOG_FILES_MAX}",
        # Each record is on the disk of a majority before it is acknowledged.
        f"jetstream {{ store_dir: {quoted(str(settings.directory / 'streams'))}, sync_interval: always }}",
        "accounts {",
        f"  SYSTEM {{ users: [{user(settings, SYSTEM_USER)}] }}",
        f"  ROOKERY {{ jetstream: enabled, users: [{user(settings, CLIENT_USER)}] }}",
        "}",
        "system_account: SYSTEM",
    ]
    if settings.monitoring_port is not None:
        lines.append(f"http: {quoted(f'127.0.0.1:{settings.monitoring_port}')}")
    if settings.others:
        lines.append(cluster_block(settings))
    return "\n".join(lines) + "\n"


def cluster_block(settings: NatsServerSettings) -> str:
    """The part about the routes between the servers.

    Servers do not tell clients of each other: who may be connected to is configured.
    """
    secret = password(settings.secret, ROUTE_USER)
    routes = [f"nats-route://{ROUTE_USER}:{secret}@{route}" for route in settings.others]
    return (
        f"cluster {{ name: {quoted(settings.cluster_name)},"
        f" listen: {quoted(endpoint(settings.route_host, settings.route_port))}, no_advertise: true,"
        f" authorization {user(settings, ROUTE_USER)},"
        f" ping_interval: {quoted(ROUTE_PING_INTERVAL)}, ping_max: {ROUTE_PINGS_MAX},{tls_block(settings)}"
        f" routes: [{', '.join(quoted(route) for route in routes)}] }}"
    )


def tls_block(settings: NatsServerSettings) -> str:
    """What the servers show each other, and whom they believe; empty where they talk in clear."""
    tls = settings.route_tls
    if tls is None:
        return ""
    return (
        f" tls {{ cert_file: {quoted(str(tls.certificate))}, key_file: {quoted(str(tls.private_key))},"
        f" ca_file: {quoted(str(tls.ca))}, verify: true, timeout: {ROUTE_TLS_SECONDS_MAX} }},"
    )


def endpoint(host: str, port: int) -> str:
    """Host and port as one; an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def user(settings: NatsServerSettings, name: str) -> str:
    """A user with the password derived for it."""
    return f"{{ user: {quoted(name)}, password: {quoted(password(settings.secret, name))} }}"


def quoted(text: str) -> str:
    """A string as the configuration has it: in double quotes, and with no meaning of its own for any character."""
    return json.dumps(text, ensure_ascii=False)


def log_path(settings: NatsServerSettings) -> Path:
    """Where the server writes its log."""
    return settings.directory / "nats-server.log"
