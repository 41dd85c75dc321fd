"""Listening sockets, TCP and unix: opened with errors that say what to do, closed without a trace.

All are non-blocking. What they accept is configured by its owner.
"""

import errno
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BACKLOG: Final = 4096
"""Connections the kernel completes ahead of us; it takes the smaller of this and ``net.core.somaxconn``."""

UNIX_MODE: Final = 0o660
PORT_ATTEMPTS_MAX: Final = 8
"""How often a free port is looked for that is free on all addresses of a host."""

ANY_HOST: Final = ""
FAMILY_ABSENT: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""What a machine without IPv6 answers; the other addresses of the same host may still do."""


class ListenFault(Exception):
    """A listener cannot be opened; the text names it, its address and what can be done."""


@dataclass(frozen=True)
class TcpSpec:
    """Where to listen by TCP."""

    name: str
    """The listener's name, for errors."""
    host: str
    """An address or a name; empty listens on all addresses, IPv4 and IPv6."""
    port: int
    """0 lets the system choose a free one, the same on all addresses."""
    reuse_port: bool = False
    """Whether other processes may listen on the same port, the kernel dealing out connections."""
    backlog: int = BACKLOG


@dataclass(frozen=True)
class UnixSpec:
    """Where to listen by a unix socket."""

    name: str
    path: str
    mode: int = UNIX_MODE
    """The file's permissions: who may write to it may connect."""
    backlog: int = BACKLOG


def listen(spec: TcpSpec | UnixSpec) -> list[socket.socket]:
    """Open the listener: one socket per address of its host. Closing a unix socket removes its file.

    Raises:
        ListenFault: the address is taken, not permitted, unknown, or not usable.
    """
    if isinstance(spec, UnixSpec):
        return [_listen_unix(spec)]
    addresses = _resolve(spec)
    # A chosen port that is free on one address can be taken on another: choose again.
    attempts_left = PORT_ATTEMPTS_MAX if spec.port == 0 else 1
    while True:
        attempts_left -= 1
        try:
            return _listen_tcp(spec, addresses)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or attempts_left == 0:
                raise _fault(spec, error) from error


def describe(sock: socket.socket, scheme: str = "tcp") -> str:
    """Return where the socket listens: ``tcp://0.0.0.0:1883``, ``tcp://[::]:1883`` or ``unix:///run/x.sock``."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix://{name}"
    return f"{scheme}://{_host_port(name[0], name[1])}"


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolve(spec: TcpSpec) -> list[tuple[socket.AddressFamily, str]]:
    """Return the addresses of the host, each once, IPv4 before IPv6 where it has both."""
    if spec.host == ANY_HOST:
        return [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]  # noqa: S104 - as asked for
    try:
        found = socket.getaddrinfo(spec.host, spec.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenFault(
            f"listener {spec.name}: host {spec.host!r} is not known: {error}"
        ) from error
    addresses = {(family, str(name[0])) for family, _, _, _, name in found}
    return sorted(addresses, key=lambda address: (address[0] != socket.AF_INET, address[1]))


def _listen_tcp(
    spec: TcpSpec, addresses: list[tuple[socket.AddressFamily, str]]
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    port = spec.port
    absent: OSError | None = None
    try:
        for family, host in addresses:
            try:
                sock = _bound(spec, family, host, port)
            except OSError as error:
                if error.errno not in FAMILY_ABSENT:
                    raise
                absent = error
                continue
            sockets.append(sock)
            port = sock.getsockname()[1]
        if absent is not None and not sockets:
            raise absent
        for sock in sockets:
            sock.listen(spec.backlog)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bound(spec: TcpSpec, family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # A restarted node must not wait for the connections of its former life to be forgotten.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if spec.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own, so that the two do not depend on the machine's settings.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _fault(spec: TcpSpec, error: OSError) -> ListenFault:
    where = f"listener {spec.name}: {_host_port(spec.host or '*', spec.port)}"
    if error.errno == errno.EADDRINUSE:
        hint = "stop the program that listens there, or choose another port (0 takes any free one)"
        return ListenFault(f"{where} is already in use: {hint}")
    if error.errno in {errno.EACCES, errno.EPERM}:
        hint = "ports below 1024 usually need the capability CAP_NET_BIND_SERVICE"
        return ListenFault(f"{where} is not permitted: {hint}")
    if error.errno == errno.EADDRNOTAVAIL:
        return ListenFault(f"{where} is not an address of this machine")
    return ListenFault(f"{where} cannot be opened: {error.strerror}")


class _UnixListener(socket.socket):
    """A listening unix socket that takes its file with it when it is closed."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._path: str | None = None
        self._file: tuple[int, int] | None = None

    def own(self, path: str) -> None:
        """Remember the file just made, so that no other one is ever removed in its place."""
        self._path = path
        self._file = _identity(path)

    def close(self) -> None:
        """Remove the file, if it still is ours, and close the socket."""
        path, self._path = self._path, None
        if path is not None:
            with suppress(OSError):  # It is gone already, or its directory is closed to us by now.
                if _identity(path) == self._file:
                    Path(path).unlink()
        super().close()


def _identity(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _listen_unix(spec: UnixSpec) -> socket.socket:
    sock = _UnixListener()
    try:
        _remove_stale(spec)
        sock.bind(spec.path)
        sock.own(spec.path)
        # Nobody can connect before listen(), so the file is never open to more than its mode says.
        Path(spec.path).chmod(spec.mode)
        sock.listen(spec.backlog)
    except ListenFault:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise ListenFault(
            f"listener {spec.name}: socket {spec.path} cannot be made: {reason}"
        ) from error
    return sock


def _remove_stale(spec: UnixSpec) -> None:
    """Remove the socket file of a process that is gone; leave anything else alone."""
    where = f"listener {spec.name}: {spec.path}"
    try:
        status = os.lstat(spec.path)
    except OSError:
        return  # Nothing is there; whatever else is wrong, bind() will say.
    if not stat.S_ISSOCK(status.st_mode):
        raise ListenFault(
            f"{where} exists and is not a socket: it is left alone, choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        answer = probe.connect_ex(spec.path)
    if answer != errno.ECONNREFUSED:
        raise ListenFault(
            f"{where} is already in use: stop the program that listens there, or choose another path"
        )
    Path(spec.path).unlink(missing_ok=True)
