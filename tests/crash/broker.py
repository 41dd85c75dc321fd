"""The broker that is killed: a process on one port and one directory, over all its lives."""

import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from tests.support import wire
from tests.support.command import command
from tests.support.ledger import named_in
from tests.support.wire_client import READ_SECONDS_MAX, Client, Closed, tcp

START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 20.0
HOST: Final = "127.0.0.1"

SETTINGS: Final = {
    "listeners": f"[{{type: tcp, host: {HOST}, port: {{port}}}}]",
    "metrics.enabled": "false",
    "log.format": "json",
    # Limits drop messages and say so; a run is not to meet them.
    "limits.queue_messages_max": "10000000",
    "limits.queue_bytes_max": "1099511627776",
    "store.directory": "{directory}",
    "store.durability": "{durability}",
}


class BrokerFault(Exception):
    """The broker did not start, or ended by itself."""


def rookery_command(durability: str) -> str:
    """The command line of a node; ``{port}`` and ``{directory}`` stand for the run's own."""
    settings = {**SETTINGS, "store.durability": durability}
    arguments = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return shlex.join(command("start", *arguments))


def free_port() -> int:
    """A port nobody listens on. It is kept over restarts, so the system cannot choose it each time."""
    with socket.create_server((HOST, 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


class BrokerProcess:
    """A broker to be started and killed many times; its command line names port and directory."""

    def __init__(self, command_line: str, directory: Path) -> None:
        self.address = (HOST, free_port())
        self.directory = directory / "store"
        self.directory.mkdir()
        self.log = directory / "broker.log"
        """Everything it wrote to standard output and standard error."""
        self._log_read_bytes = 0
        names = {"{port}": str(self.address[1]), "{directory}": str(self.directory)}
        for name, value in names.items():
            command_line = command_line.replace(name, value)
        self._arguments = shlex.split(command_line)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin a life; ``connect`` waits until it has begun."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ROOKERY_")
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory.parent,
                env=environment,
            )

    def connect(self, client_id: str) -> Client:
        """A client with a clean session, as soon as the broker accepts it."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            self.expect_alive()
            try:
                client = Client(tcp(self.address), wire.V5)
            except OSError:
                time.sleep(0.005)
                continue
            try:
                client.send(wire.connect(wire.V5, client_id))
                client.expect(wire.CONNACK, reason=0, seconds=START_SECONDS_MAX)
                return client
            except (AssertionError, Closed, OSError) as error:
                client.close()
                self.expect_alive()
                raise BrokerFault(f"no CONNACK after the start: {error}") from None
        raise BrokerFault(f"no start within {START_SECONDS_MAX} s: {self.last_words()}")

    def expect_alive(self) -> None:
        """Raise ``BrokerFault`` if it ended by itself."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            raise BrokerFault(f"the broker ended by itself with {code}: {self.last_words()}")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_SECONDS_MAX)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS_MAX)

    def close(self) -> None:
        """Let no process be left, whatever happened."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def faults_logged(self) -> list[str]:
        """The lines since the last call that tell of a fault of the broker, or lay one to a client."""
        with self.log.open("rb") as log:
            log.seek(self._log_read_bytes)
            data = log.read()
        self._log_read_bytes += len(data)
        marks = ("Traceback", '"level":"error"', '"event":"client_refused"')
        return [
            line
            for line in data.decode(errors="replace").splitlines()
            if any(mark in line.replace('": "', '":"') for mark in marks)
        ]

    def bytes_on_disk(self) -> int:
        """What its directory takes."""
        return sum(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


def retained(
    client: Client, topic_filter: str, owed: dict[str, tuple[int, bool]]
) -> dict[str, bytes]:
    """The retained messages under a filter, by topic name.

    Nothing says which of them is the last one, so all that must be there are waited for, as long as
    they keep coming, and then the answer to a ping.
    """

    def satisfied() -> bool:
        for topic, (number_min, may_miss) in owed.items():
            named = named_in(topic, found.get(topic, b""))
            if not may_miss and (named is None or named[1] < number_min):
                return False
        return True

    found: dict[str, bytes] = {}
    pinged = answered = False
    client.send(wire.subscribe(client.version, [(topic_filter, 1)]))
    client.expect(wire.SUBACK)
    while not (answered and satisfied()):
        if satisfied() and not pinged:
            client.send(wire.PINGREQ_PACKET)
            pinged = True
        try:
            packet = client.receive(READ_SECONDS_MAX)
        except TimeoutError:
            break
        if packet.kind == wire.PINGRESP:
            answered = True
            continue
        assert packet.topic is not None and packet.payload is not None
        found[packet.topic] = packet.payload
        if packet.qos == 1:
            assert packet.packet_id is not None
            client.send(wire.acknowledge(client.version, wire.PUBACK, packet.packet_id))
    return found
