"""``rookery pub`` as a process, against a running node; what arrives tells what it sent."""

import os
import signal
import socket
import subprocess

import pytest

from tests.support.broker import broker, broker_with
from tests.support.command import command, rookery
from tests.support.wire import V5
from tests.support.wire_client import Client, tcp

__all__ = ["broker", "broker_with"]


@pytest.fixture
def receiver(broker):
    with Client(tcp((broker.host, broker.port)), V5) as client:
        client.connect("receiver")
        client.subscribe("pub/#")
        yield client


@pytest.fixture
def pub(broker):
    def pub(*arguments, **options):
        done = rookery("pub", "-h", broker.host, "-p", str(broker.port), *arguments, **options)
        assert (done.returncode, done.stderr) == (0, b"")

    return pub


def test_a_message_with_all_that_belongs_to_it(pub, receiver):
    pub(
        *("-t", "pub/a", "-m", "grüße", "-q", "2", "-i", "me"),
        *("--expiry-seconds", "60", "--user-property", "a=1=2", "--user-property", "a="),
    )
    message = receiver.receive_message("pub/a", "grüße".encode())
    assert message.qos == 2
    assert message.get("message_expiry") == 60
    assert message.get_all("user") == [("a", "1=2"), ("a", "")]


@pytest.mark.parametrize("version", ["3.1", "3.1.1"])
def test_older_versions(pub, receiver, version):
    pub("-t", "pub/a", "-m", "x", "-V", version, "-q", "1")
    assert receiver.receive_message("pub/a", b"x").qos == 1


def test_a_file_and_standard_input_as_one_message(pub, receiver, tmp_path):
    data = bytes(range(256)) * 1_000
    file = tmp_path / "data"
    file.write_bytes(data)
    pub("-t", "pub/file", "-f", str(file))
    receiver.receive_message("pub/file", data)
    pub("-t", "pub/input", "-f", "-", stdin=data)
    receiver.receive_message("pub/input", data)


def test_retained_and_cleared(pub, receiver, broker):
    pub("-t", "pub/kept", "-m", "x", "-r")
    with Client(tcp((broker.host, broker.port)), V5) as late:
        late.connect("late")
        late.subscribe("pub/kept")
        assert late.receive_message("pub/kept", b"x").retain
    pub("-t", "pub/kept", "-n", "-r")
    with Client(tcp((broker.host, broker.port)), V5) as late:
        late.connect("late")
        late.subscribe("pub/kept")
        late.expect_silence()


def test_lines_in_order(pub, receiver):
    lines = [b"line %d" % number for number in range(2_000)]
    pub("-t", "pub/l", "-q", "1", "-l", stdin=b"\n".join([*lines, b"", b"no line break"]))
    for line in [*lines, b"", b"no line break"]:
        receiver.receive_message("pub/l", line)


def test_lines_of_a_file(broker, receiver, tmp_path):
    file = tmp_path / "lines"
    file.write_bytes(b"one\ntwo\n")
    with file.open("rb") as lines:
        subprocess.run(
            command("pub", "-p", str(broker.port), "-h", broker.host, "-t", "pub/l", "-l"),
            stdin=lines,
            check=True,
        )
    receiver.receive_message("pub/l", b"one")
    receiver.receive_message("pub/l", b"two")


def test_a_line_is_published_when_it_comes_and_interrupting_is_quiet(broker, receiver):
    running = subprocess.Popen(
        command("pub", "-p", str(broker.port), "-h", broker.host, "-t", "pub/l", "-l"),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with running:
        os.write(running.stdin.fileno(), b"now\nnot y")
        receiver.receive_message("pub/l", b"now")
        os.write(running.stdin.fileno(), b"et\n")
        receiver.receive_message("pub/l", b"not yet")
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 130
        assert running.stderr.read() == b""


def test_a_refused_message_is_told(broker_with):
    broker = broker_with(**{"authorization.default": "deny"})
    done = rookery("pub", "-h", broker.host, "-p", str(broker.port), "-t", "a", "-n", "-q", "1")
    assert done.returncode == 1
    assert b"the message was refused: not authorized" in done.stderr


def test_a_refused_connection_is_told(broker_with):
    users = [{"username": "ann", "password": "secret", "algorithm": "plain"}]
    broker = broker_with(**{"broker.auth.users": users})
    arguments = ["pub", "-h", broker.host, "-p", str(broker.port), "-t", "a", "-n", "-u", "ann"]
    done = rookery(*arguments, "-P", "wrong")
    assert done.returncode == 1
    assert b"refused the connection: " in done.stderr and b"wrong" not in done.stderr
    assert rookery(*arguments, env={**os.environ, "ROOKERY_PASSWORD": "secret"}).returncode == 0


def test_nobody_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound and not listening: nobody else gets the port.
        port = taken.getsockname()[1]
        done = rookery("pub", "-h", "127.0.0.1", "-p", str(port), "-t", "a", "-n")
    assert done.returncode == 1
    assert done.stderr.startswith(b"rookery: 127.0.0.1:%d: " % port)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "x"],
        ["-t", "a"],
        ["-t", "a", "-m", "x", "-n"],
        ["-t", "a/#", "-n"],
        ["-t", "a", "-f", "/no/such/file"],
        ["-t", "a", "-n", "-q", "3"],
        ["-t", "a", "-n", "--user-property", "x"],
        ["-t", "a", "-n", "--expiry-seconds", "1", "-V", "3.1.1"],
    ],
)
def test_a_wrong_command_line_connects_nowhere(arguments):
    assert rookery("pub", *arguments, "-h", "192.0.2.1").returncode == 2
