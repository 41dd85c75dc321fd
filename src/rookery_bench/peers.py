"""The brokers to measure: how each is configured and started.

All of them get what Rookery has on: one listener on loopback, user name and password checked, no
anonymous clients. Passwords are kept as one salted SHA-2 hash everywhere, so that the connect row
compares brokers and not key stretching. Queues and windows are as large as the closed loop can
fill, so nothing is dropped and no broker is held back by a default.
"""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from rookery_bench import access, wire
from rookery_bench.credentials import PASSWORD, USERNAME
from rookery_bench.links import Address, open_link

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_PASSWORD_TOOL: Final = "mosquitto_passwd"
_WINDOW_MAX: Final = 4_096
_AUTOSAVE_SECONDS: Final = 1


class PeerError(Exception):
    """A broker that is not there or does not start; the text says what to do about it."""


@dataclass(frozen=True)
class Broker:
    """A running broker."""

    pid: int
    address: Address
    start_seconds: float
    """From the start of the process to the first CONNACK."""


@dataclass(frozen=True)
class Setting:
    """What a broker's configuration is written for."""

    folder: Path
    """For the configuration and all that the broker keeps."""
    port: int
    durable: bool
    """Whether brokers that keep nothing by default are to keep persistent sessions."""


@dataclass(frozen=True)
class Peer:
    """A kind of broker."""

    name: str
    version: str
    command: Callable[[Setting], list[str]]
    """Writes the configuration and returns the command line."""
    environment: dict[str, str]

    @contextmanager
    def running(self, core: int | None, *, durable: bool = False) -> Iterator[Broker]:
        """Start the broker in a folder of its own, on one core; stop it at the end.

        Raises:
            PeerError: it ends at once or never accepts a client.
        """
        with (
            TemporaryDirectory(prefix=f"bench-{self.name}-") as folder,
            self.started(Setting(Path(folder), free_port(), durable), core) as broker,
        ):
            yield broker

    @contextmanager
    def started(self, setting: Setting, core: int | None) -> Iterator[Broker]:
        """Start the broker in a folder, where it finds what it left there; stop it at the end.

        Raises:
            PeerError: it ends at once or never accepts a client.
        """
        folder = setting.folder
        command = self.command(setting)
        started_ns = time.monotonic_ns()
        with (folder / "output").open("wb") as output, on_core(core):
            process = subprocess.Popen(
                command, cwd=folder, env=self.environment, stdout=output, stderr=output
            )
        try:
            address = Address(setting.port, USERNAME, PASSWORD)
            self._wait(process, address, folder / "output")
            yield Broker(process.pid, address, (time.monotonic_ns() - started_ns) / 1e9)
        finally:
            _stop(process)

    def _wait(self, process: subprocess.Popen[bytes], address: Address, output: Path) -> None:
        deadline = time.monotonic_ns() + _START_SECONDS * 1e9
        while process.poll() is None and time.monotonic_ns() < deadline:
            try:
                open_link(address, "bench-probe", wire.V3_1_1).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
            except (OSError, wire.WireError) as error:
                raise PeerError(f"{self.name}: {error}") from error
        said = output.read_text(errors="replace").strip()[-2000:]
        raise PeerError(f"{self.name} did not start: {said or 'no output'}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Run, and start processes, on one core meanwhile; None leaves the choice to the kernel."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _password_file(folder: Path) -> Path:
    path = folder / "passwords"
    subprocess.run(
        [_PASSWORD_TOOL, "-H", "sha512", "-c", "-b", str(path), USERNAME, PASSWORD],
        check=True,
        capture_output=True,
    )
    return path


def _mosquitto_command(executable: str) -> Callable[[Setting], list[str]]:
    def command(setting: Setting) -> list[str]:
        folder = setting.folder
        # It writes its whole state, and syncs that file, at this interval and not per message.
        kept = [
            "persistence true",
            f"persistence_location {folder}/",
            f"autosave_interval {_AUTOSAVE_SECONDS}",
        ]
        lines = [
            f"listener {setting.port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {_password_file(folder)}",
            f"max_inflight_messages {_WINDOW_MAX}",
            "max_queued_messages 0",
            "set_tcp_nodelay true",
            "log_type error",
            "log_type warning",
            *(kept if setting.durable else []),
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        return [executable, "-c", _written(folder, "mosquitto.conf", lines)]

    return command


def _flashmq_command(executable: str) -> Callable[[Setting], list[str]]:
    def command(setting: Setting) -> list[str]:
        folder = setting.folder
        lines = [
            f"log_file {folder / 'flashmq.log'}",
            "log_level warning",
            f"storage_dir {folder}",
            "thread_count 1",
            "allow_anonymous false",
            f"mosquitto_password_file {_password_file(folder)}",
            f"max_qos_msg_pending_per_client {_WINDOW_MAX}",
            f"max_qos_bytes_pending_per_client {_WINDOW_MAX * 1024}",
            f"client_max_write_buffer_size {_WINDOW_MAX * 4096}",
            f"rlimit_nofile {_descriptors_max()}",
            "listen {",
            "  protocol mqtt",
            "  tcp_nodelay true",
            "  inet_protocol ip4",
            "  inet4_bind_address 127.0.0.1",
            f"  port {setting.port}",
            "}",
        ]
        return [executable, "--config-file", _written(folder, "flashmq.conf", lines)]

    return command


def _rookery_command(
    python: str, durability: str, who: Callable[[], dict[str, Any]]
) -> Callable[[Setting], list[str]]:
    def command(setting: Setting) -> list[str]:
        store = {"durability": durability}
        if durability != "memory":
            store["directory"] = str(setting.folder / "store")
        config = who()
        config["broker"] |= {
            "node_id": "bench",
            "mqtt_port": setting.port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "dashboard_port": free_port(),
        }
        config |= {
            "limits": {
                "inflight_max": _WINDOW_MAX,
                "receive_maximum": _WINDOW_MAX,
                "connects_per_second_max": 100_000,
            },
            "store": store,
            # The others write warnings and errors as well.
            "log": {"level": "warning"},
        }
        # JSON is YAML.
        path = _written(setting.folder, "rookery.yaml", [json.dumps(config)])
        return [python, "-m", "rookery", "start", "-c", path]

    return command


def _written(folder: Path, name: str, lines: list[str]) -> str:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _descriptors_max() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _first_line(command: list[str], **options: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=dict(options))
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else ""


def find_mosquitto() -> Peer:
    """Find mosquitto on the path or in Debian's place for it.

    Raises:
        PeerError: it is not installed.
    """
    executable = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if executable is None or shutil.which(_PASSWORD_TOOL) is None:
        raise PeerError("mosquitto is not installed (Debian: apt-get install mosquitto)")
    version = _first_line([executable, "-h"]).removeprefix("mosquitto version ")
    return Peer("mosquitto", version, _mosquitto_command(executable), dict(os.environ))


def find_flashmq(path: str | None) -> Peer:
    """Find FlashMQ at a path, else where the variable FLASHMQ says, else on the path.

    Raises:
        PeerError: it is not there, or the tool for its password file is not.
    """
    wanted = path or os.environ.get("FLASHMQ", "flashmq")
    executable = shutil.which(wanted)
    if executable is None:
        raise PeerError(f"no FlashMQ at {wanted}; say where with --flashmq or FLASHMQ")
    if shutil.which(_PASSWORD_TOOL) is None:
        raise PeerError(f"FlashMQ needs {_PASSWORD_TOOL} (Debian: apt-get install mosquitto)")
    version = _first_line([executable, "-V"]).removeprefix("FlashMQ Version ")
    return Peer("flashmq", version, _flashmq_command(executable), dict(os.environ))


_CORE_PROBE: Final = (
    "import rookery, rookery.mqtt.decode as d;"
    "print(rookery.__version__, 'interpreted' if d.__file__.endswith('.py') else 'compiled')"
)


DURABILITIES: Final = ("fsync", "os", "memory")


def find_rookery(
    name: str,
    python: str,
    source: Path | None,
    durability: str = DURABILITIES[0],
    who: Callable[[], dict[str, Any]] = access.users,
) -> Peer:
    """Find Rookery: as installed for a Python, or interpreted from a source folder.

    Raises:
        PeerError: that Python cannot import it.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    version = _first_line([python, "-c", _CORE_PROBE], **environment)
    if not version.endswith(("compiled", "interpreted")):
        raise PeerError(f"{name}: {python} cannot import rookery ({version})")
    return Peer(name, version, _rookery_command(python, durability, who), environment)


PEER_NAMES: Final = (
    "rookery",
    "rookery-os",
    "rookery-memory",
    "rookery-interpreted",
    "rookery-open",
    "rookery-guarded",
    "mosquitto",
    "flashmq",
)


def find_peer(name: str, rookery_python: str | None, flashmq: str | None) -> Peer:
    """Find a broker by its name in PEER_NAMES.

    Raises:
        PeerError: it is not on this machine, or the name is none of them.
    """
    python = rookery_python or sys.executable
    match name:
        case "mosquitto":
            return find_mosquitto()
        case "flashmq":
            return find_flashmq(flashmq)
        case "rookery":
            return find_rookery(name, python, None)
        case "rookery-os" | "rookery-memory":
            return find_rookery(name, python, None, name.removeprefix("rookery-"))
        case "rookery-open":
            return find_rookery(name, python, None, who=access.open_to_all)
        case "rookery-guarded":
            return find_rookery(name, python, None, who=access.guarded)
        case "rookery-interpreted":
            return find_rookery(name, python, source_folder())
        case _:
            raise PeerError(f"no broker {name}; there are {', '.join(PEER_NAMES)}")


def source_folder() -> Path:
    """Return the source tree in the working directory, or the one this file is in."""
    here = Path.cwd() / "src"
    return here if (here / "rookery").is_dir() else Path(__file__).parents[1]
