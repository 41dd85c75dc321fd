"""The settings of the addresses that clients connect to."""

import ssl
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, Strict

from rookery.auth.templates import Template
from rookery.config.authentication import Anonymous, Order
from rookery.config.limits import ListenerLimits
from rookery.config.sections import (
    Expected,
    FilePath,
    Host,
    MqttText,
    Port,
    Problem,
    Section,
)


def _mountpoint(value: str) -> str:
    Template(value)  # Raises ValueError for a placeholder that is not known.
    if not value.endswith("/") or "+" in value or "#" in value:
        raise ValueError("no levels of topic names")
    if value.startswith("$") and not value.startswith("${"):
        raise ValueError("no topics of clients")
    return value


def _ciphers(value: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(value)
    except ssl.SSLError as error:
        raise ValueError("selects no cipher") from error
    return value


TlsHost = Annotated[
    str,
    Field(pattern=r"^(\*\.)?[A-Za-z0-9._-]+$", max_length=255),
    Expected("a host name, as example.com or *.example.com"),
]
Ciphers = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9:+!@=, _-]+$", max_length=1024),
    AfterValidator(_ciphers),
    Expected("a list of ciphers as `openssl ciphers` takes it, which selects at least one"),
]


class ServerCertificate(Section):
    """A certificate that is shown to clients."""

    certificate: FilePath
    """The PEM file with the certificate, its chain after it."""
    private_key: FilePath
    """The PEM file with the certificate's private key."""
    password: Annotated[SecretStr, Field(min_length=1, max_length=1024)] | None = None
    """The password of an encrypted private key."""
    hosts: Annotated[tuple[TlsHost, ...], Strict(False)] = ()
    """The host names that clients ask for it by; `*.` at the beginning stands for one label. An empty list
    stands for the names in the certificate."""


class Tls(ServerCertificate):
    """The certificates of a listener, and whom it talks to. Files are read again when they change."""

    certificates: Annotated[tuple[ServerCertificate, ...], Strict(False)] = ()
    """Further certificates, each for clients that ask for one of its hosts. All others are shown the one
    above."""
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    """The oldest version of TLS that is spoken."""
    ciphers: Ciphers | None = None
    """The cipher suites of TLS 1.2, as OpenSSL names and selects them; at null those with forward secrecy and
    authenticated encryption (`ECDHE+AESGCM:ECDHE+CHACHA20`). Those of TLS 1.3 are always such."""
    ca: FilePath | None = None
    """The PEM file with the authorities whose client certificates are believed."""
    client_certificate: Literal["none", "optional", "required"] = "none"
    """Whether clients are asked for a certificate, and whether one without is turned away."""
    crl: FilePath | None = None
    """The PEM file with the revocation lists of these authorities, one after the other. Client certificates on
    them are refused; so is any, once the list of its authority is out of date."""
    crl_check: Literal["leaf", "chain"] = "leaf"
    """Whether only the client's own certificate is looked up in `crl`, or those of its authorities too, which
    then must have lists there."""

    def _problems(self) -> Iterable[Problem]:
        if self.client_certificate != "none" and self.ca is None:
            yield (
                ("ca",),
                "is missing: client certificates are checked against the PEM file it names",
            )
        if self.client_certificate == "none" and self.crl is not None:
            yield (
                ("crl",),
                "is of no use: clients are not asked for certificates; set client_certificate",
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
    authentication: Order | None = None
    """The sources that this listener asks, in this order; null is `authentication.order`."""
    anonymous: Anonymous | None = None
    """From where this listener lets in anonymous clients; null is `authentication.anonymous`."""
    mountpoint: (
        Annotated[
            MqttText,
            AfterValidator(_mountpoint),
            Expected(
                "levels of topic names that end with a /, as tenant-a/; ${username}, ${clientid} and "
                "${cert_common_name} may stand in them"
            ),
        ]
        | None
    ) = None
    """What is put before all topic names and topic filters of its clients, and taken off what they receive: a
    part of the topics for themselves. Rules are asked about topics as the client writes them."""
    backlog: Annotated[int, Field(ge=1, le=65535)] = 1024
    """How many connections the system holds until they are accepted."""
    reuse_port: bool = False
    """Whether other nodes of the same user on this machine may listen on the same port, the system dealing out
    connections between them, as `rookery start --workers` does. Nobody is told then that the port is taken."""
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
        if self.reuse_port:
            yield (
                ("reuse_port",),
                "is not for a unix listener, whose file has one owner; leave it out",
            )

    def _network_problems(self) -> Iterable[Problem]:
        if self.port is None and self.type != "tcp":
            usual = {"tls": 8883, "ws": 8083, "wss": 8084}[self.type]
            yield ("port",), f"is missing: the port of a {self.type} listener ({usual} is usual)"
        if self.reuse_port and self.port == 0:
            text = "is 0, another port for each node, so that none is shared; name one, or leave reuse_port out"
            yield ("port",), text
        if self.path is None:
            return
        if self.type in ("tcp", "tls"):
            yield ("path",), f"is not for a {self.type} listener; leave it out"
        elif not self.path.startswith("/"):
            yield ("path",), f'must begin with "/", as "/{self.path}"'
