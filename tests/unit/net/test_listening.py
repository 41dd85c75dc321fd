"""Listening sockets: open where asked, clear when they cannot, gone without a trace."""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from rookery.net.listening import ListenFault, TcpSpec, UnixSpec, describe, listen

IPV6 = socket.has_ipv6 and Path("/proc/net/if_inet6").exists()
needs_ipv6 = pytest.mark.skipif(not IPV6, reason="this machine has no IPv6")


@contextmanager
def listening(spec: TcpSpec | UnixSpec) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(sock) for sock in listen(spec)]


def connects(family: int, address: object) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        return client.connect_ex(address) == 0  # type: ignore[arg-type]


def fault(spec: TcpSpec | UnixSpec) -> str:
    with pytest.raises(ListenFault) as caught, listening(spec):
        pass
    return str(caught.value)


# --- TCP --------------------------------------------------------------------------------------------


def test_a_tcp_listener_accepts_without_blocking() -> None:
    with listening(TcpSpec("mqtt", "127.0.0.1", 0)) as (sock,):
        assert sock.gettimeout() == 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        assert not os.get_inheritable(sock.fileno())
        with pytest.raises(BlockingIOError):
            sock.accept()
        assert connects(socket.AF_INET, sock.getsockname())


def test_it_is_described_by_where_it_listens() -> None:
    with listening(TcpSpec("mqtt", "127.0.0.1", 0)) as (sock,):
        port = sock.getsockname()[1]
        assert describe(sock) == f"tcp://127.0.0.1:{port}"
        assert describe(sock, "wss") == f"wss://127.0.0.1:{port}"


@needs_ipv6
def test_ipv6_is_described_in_brackets() -> None:
    with listening(TcpSpec("mqtt", "::1", 0)) as (sock,):
        assert describe(sock) == f"tcp://[::1]:{sock.getsockname()[1]}"
        assert connects(socket.AF_INET6, sock.getsockname())


@needs_ipv6
def test_no_host_means_all_addresses_of_both_families_with_one_port() -> None:
    with listening(TcpSpec("mqtt", "", 0)) as (ipv4, ipv6):
        port = ipv4.getsockname()[1]
        assert describe(ipv4) == f"tcp://0.0.0.0:{port}"
        assert describe(ipv6) == f"tcp://[::]:{port}"
        assert ipv6.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        assert connects(socket.AF_INET, ("127.0.0.1", port))
        assert connects(socket.AF_INET6, ("::1", port))


def test_a_name_listens_on_each_address_it_has() -> None:
    with listening(TcpSpec("mqtt", "localhost", 0)) as sockets:
        hosts = [sock.getsockname()[0] for sock in sockets]
        ports = {sock.getsockname()[1] for sock in sockets}
        assert "127.0.0.1" in hosts
        assert hosts == sorted(set(hosts), key=lambda host: ":" in host)
        assert len(ports) == 1


def without(monkeypatch: pytest.MonkeyPatch, *families: int) -> None:
    """Run as on a machine whose kernel lacks these families; they are refused as Linux refuses them."""
    real = socket.socket

    def open_socket(family: int = -1, *rest: int) -> socket.socket:
        if family in families:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", open_socket)


def test_a_machine_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, socket.AF_INET6)
    with listening(TcpSpec("mqtt", "", 0)) as (sock,):
        assert sock.getsockname()[0] == "0.0.0.0"


def test_no_family_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, socket.AF_INET, socket.AF_INET6)
    expected = "listener mqtt: *:0 cannot be opened: Address family not supported by protocol"
    assert fault(TcpSpec("mqtt", "", 0)) == expected


def test_an_address_in_use_is_told_with_what_to_do() -> None:
    with listening(TcpSpec("first", "127.0.0.1", 0)) as (sock,):
        port = sock.getsockname()[1]
        assert fault(TcpSpec("second", "127.0.0.1", port)) == (
            f"listener second: 127.0.0.1:{port} is already in use: "
            "stop the program that listens there, or choose another port (0 takes any free one)"
        )


@needs_ipv6
def test_nothing_stays_open_when_one_address_is_in_use() -> None:
    with listening(TcpSpec("first", "::1", 0)) as (sock,):
        port = sock.getsockname()[1]
        assert "already in use" in fault(TcpSpec("second", "", port))
        assert not connects(socket.AF_INET, ("127.0.0.1", port))


@needs_ipv6
def test_a_chosen_port_that_is_taken_on_one_address_is_chosen_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening(TcpSpec("first", "::1", 0)) as (sock,):
        taken = sock.getsockname()[1]
        answers = iter([taken, 0])
        real: Callable[..., None] = socket.socket.bind

        class Choosing(socket.socket):
            """Lets the system choose the taken port first, as it well may."""

            def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]
                host, port = address
                real(self, (host, next(answers) if port == 0 else port))

        monkeypatch.setattr(socket, "socket", Choosing)
        with listening(TcpSpec("second", "", 0)) as sockets:
            assert len(sockets) == 2
            assert len({sock.getsockname()[1] for sock in sockets} - {taken}) == 1


def test_several_processes_may_share_a_port_when_asked() -> None:
    with listening(TcpSpec("first", "127.0.0.1", 0, reuse_port=True)) as (first,):
        port = first.getsockname()[1]
        with listening(TcpSpec("second", "127.0.0.1", port, reuse_port=True)) as (second,):
            assert second.getsockname() == first.getsockname()
        assert "already in use" in fault(TcpSpec("third", "127.0.0.1", port))


def test_an_address_of_another_machine_is_told() -> None:
    expected = "listener mqtt: 192.0.2.1:1883 is not an address of this machine"
    assert fault(TcpSpec("mqtt", "192.0.2.1", 1883)) == expected


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64, "a..b"])
def test_an_unknown_host_is_told(host: str) -> None:
    text = fault(TcpSpec("mqtt", host, 1883))
    assert text.startswith(f"listener mqtt: host {host!r} is not known: ")


def test_a_port_that_is_not_permitted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unprivileged(socket.socket):
        """Refuses as the kernel does where the process lacks the capability; a test may run as root."""

        def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket, "socket", Unprivileged)
    assert fault(TcpSpec("mqtt", "127.0.0.1", 883)) == (
        "listener mqtt: 127.0.0.1:883 is not permitted: "
        "ports below 1024 usually need the capability CAP_NET_BIND_SERVICE"
    )


# --- Unix sockets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o660, 0o600, 0o666])
def test_a_unix_listener_accepts_whom_its_mode_permits(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "mqtt.sock"
    with listening(UnixSpec("unix", str(path), mode)) as (sock,):
        assert describe(sock) == f"unix://{path}"
        assert sock.gettimeout() == 0
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert connects(socket.AF_UNIX, str(path))
    assert not path.exists()


def test_what_it_accepts_is_an_ordinary_socket(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    with listening(UnixSpec("unix", str(path))) as (sock,):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            accepted, _ = sock.accept()
            accepted.close()
        assert path.exists()
        sock.close()
        assert not path.exists()
        sock.close()


def stale_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def test_a_socket_that_nobody_accepts_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    stale_socket(path)
    with listening(UnixSpec("unix", str(path))):
        assert connects(socket.AF_UNIX, str(path))


def test_a_socket_that_somebody_accepts_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    with listening(UnixSpec("first", str(path))):
        assert fault(UnixSpec("second", str(path))) == (
            f"listener second: {path} is already in use: "
            "stop the program that listens there, or choose another path"
        )
        assert connects(socket.AF_UNIX, str(path))


def test_a_socket_whose_owner_is_busy_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    with listening(UnixSpec("first", str(path), backlog=0)), ExitStack() as stack:
        for _ in range(4):  # Until no more fit: the next one would have to wait.
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(str(path))
        assert "already in use" in fault(UnixSpec("second", str(path)))


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_not_a_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mqtt.sock"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    assert fault(UnixSpec("unix", str(path))) == (
        f"listener unix: {path} exists and is not a socket: it is left alone, choose another path"
    )
    assert path.is_symlink() or path.exists()


def test_closing_leaves_a_successors_socket_alone(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    with listening(UnixSpec("first", str(path))) as (first,):
        path.unlink()
        with listening(UnixSpec("second", str(path))):
            first.close()
            assert connects(socket.AF_UNIX, str(path))


def test_closing_when_the_file_is_gone_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    with listening(UnixSpec("unix", str(path))):
        path.unlink()
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing/mqtt.sock", "No such file or directory"), ("x" * 120, "AF_UNIX path too long")],
)
def test_a_path_that_cannot_be_is_told(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    assert fault(UnixSpec("unix", str(path))) == (
        f"listener unix: socket {path} cannot be made: {reason}"
    )
