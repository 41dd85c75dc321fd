"""The settings of the addresses that clients connect to."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from rookery.config.limits import ListenerLimits
from rookery.config.sections import Expected, FilePath, Host, Port, Problem, Section


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
    limits: ListenerLimits | None = None
    """What all connections of this listener may take together; null bounds nothing."""

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
