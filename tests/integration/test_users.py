"""Users of the store and of a password file, on a node as users run it; and who a fresh node lets in."""

import asyncio
import os
import re
import shutil
import subprocess
import urllib.request

import pytest

from rookery.auth.passwords import hash_password
from rookery.client import Client as AsyncClient
from rookery.mqtt.packets import SubscriptionRequest
from tests.support import wire
from tests.support.command import rookery
from tests.support.node_process import NodeProcess
from tests.support.wire import CONNACK, V3_1_1, V5
from tests.support.wire_client import Client, tcp

QUIET = ["--set", "metrics.enabled=false"]
LOCAL = ["--set", "listeners=[{type: tcp, host: 127.0.0.1, port: 0}]"]
PROXIED = ["--set", "listeners=[{type: tcp, host: 0.0.0.0, port: 0, proxy_protocol: true}]"]
STORM_CLIENTS = 200
LAG_SECONDS_MAX = 0.1
"""Ten hashes of the storm take longer than that; on a quiet machine it is a few milliseconds."""

needs_mosquitto = pytest.mark.skipif(
    not (shutil.which("mosquitto_pub") and shutil.which("mosquitto_passwd")),
    reason="mosquitto_pub and mosquitto_passwd are absent (apt install mosquitto): NOT TESTED",
)


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in list(os.environ):
        if variable.startswith("ROOKERY_") or variable.endswith("_PORT"):
            monkeypatch.delenv(variable)


def user(*arguments, stdin=b""):
    done = rookery("user", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def applied(node):
    """Wait until the node has taken a change."""
    return node.event("file_applied")


def code(address, version=V5, client_id="c", **options):
    """The reason code that a CONNECT is answered with."""
    with Client(tcp(address), version) as client:
        client.send(wire.connect(version, client_id, **options))
        return client.expect(CONNACK, seconds=20).reason


def from_afar(node, source, **options):
    """A CONNECT through the proxy, from this address."""
    address = ("127.0.0.1", node.addresses("tcp")[0][1])
    stream = tcp(address)
    stream.sendall(f"PROXY TCP4 {source} 192.0.2.1 56324 1883\r\n".encode())
    with Client(stream, V5) as client:
        client.send(wire.connect(V5, "afar", **options))
        return client.expect(CONNACK).reason


class TestAFreshNode:
    def test_lets_in_this_machine_only_and_says_so(self):
        with NodeProcess(*PROXIED, *QUIET) as node:
            assert from_afar(node, "127.0.0.1") == 0
            assert from_afar(node, "192.0.2.7") == 0x86
            assert from_afar(node, "192.0.2.7", user_name="admin", password=b"public") == 0x86
            refused = node.event("client_refused")
            told = {key: refused[key] for key in ("client_id", "username", "address", "listener")}
            assert told == {
                "client_id": "afar",
                "username": None,
                "address": "192.0.2.7",
                "listener": "tcp-0",
            }
            assert refused["reason"] == "bad_user_name_or_password"
            assert "anonymous clients are let in from this machine only" in refused["detail"]
            assert node.event("client_refused")["username"] == "admin"
            _read_banner(node, "anonymous clients are let in from this machine only (tcp-0;")

    def test_everyone_is_let_in_where_it_was_chosen_and_that_is_said(self):
        with NodeProcess(*PROXIED, *QUIET, "--set", "broker.auth.enabled=false") as node:
            assert from_afar(node, "192.0.2.7", user_name="admin", password=b"any") == 0
            _read_banner(node, "everyone is let in whatever name and password they give")


def _read_banner(node, text):
    """The warnings come after the line that ends the banner."""
    while text not in (line := node._said.get(timeout=10)):
        assert line is not None, "the node said nothing of the kind"


@pytest.mark.parametrize("durability", ["fsync", "memory"])
def test_users_come_and_go_while_the_node_runs(durability):
    with NodeProcess(*LOCAL, *QUIET, "--set", f"store.durability={durability}") as node:
        address = node.addresses("tcp")[0]
        ann = {"user_name": "ann", "password": b"secret"}
        assert code(address) == 0
        user("add", "ann", "--password-stdin", "--client-id", "meter-*", stdin=b"secret")
        applied(node)
        assert code(address) == 0x86, "there is a user now"
        assert code(address, **ann) == 0x85
        assert code(address, V3_1_1, **ann) == 2
        assert code(address, client_id="meter-7", **ann) == 0
        assert code(address, V3_1_1, client_id="meter-7", **ann) == 0
        user("passwd", "ann", "--password-stdin", "-a", "sha256", stdin=b"other")
        applied(node)
        assert code(address, client_id="meter-7", **ann) == 0x86
        ann["password"] = b"other"
        assert code(address, client_id="meter-7", **ann) == 0
        user("disable", "ann")
        applied(node)
        assert code(address, client_id="meter-7", **ann) == 0x86
        user("enable", "ann")
        applied(node)
        assert code(address, client_id="meter-7", **ann) == 0
        user("remove", "ann")
        applied(node)
        assert code(address, client_id="meter-7", **ann) == 0, "nobody is known: names mean nothing"


def test_users_outlive_the_node():
    user("add", "ann", "--password-stdin", stdin=b"secret")
    for _ in range(2):
        with NodeProcess(*LOCAL, *QUIET) as node:
            address = node.addresses("tcp")[0]
            assert code(address, user_name="ann", password=b"secret") == 0
            assert code(address, user_name="ann", password=b"wrong") == 0x86
            assert code(address) == 0x86


def test_a_damaged_access_database_keeps_the_node_from_starting(tmp_path):
    folder = tmp_path / "rookery-data" / "rookery-1883"
    folder.mkdir(parents=True)
    (folder / "access.db").write_text("no database" * 1000)
    done = rookery("start", *LOCAL, *QUIET)
    assert done.returncode == 1
    assert b"access.db cannot be used" in done.stderr and b"Traceback" not in done.stderr


@needs_mosquitto
def test_what_mosquitto_wrote_and_what_mosquitto_sends(tmp_path):
    def mosquitto(program, *arguments):
        return subprocess.run([program, *arguments], check=False, timeout=20).returncode

    for name, algorithm in (("new", "sha512-pbkdf2"), ("old", "sha512")):
        create = [] if (tmp_path / "pw").exists() else ["-c"]
        assert (
            mosquitto("mosquitto_passwd", "-H", algorithm, *create, "-b", "pw", name, "secret") == 0
        )
    settings = [
        "--set",
        "authentication.order=[users, password_file]",
        "--set",
        "authentication.password_file=pw",
    ]
    with NodeProcess(*LOCAL, *QUIET, *settings) as node:
        _, port = node.addresses("tcp")[0]
        publish = ["mosquitto_pub", "-p", str(port), "-t", "t", "-m", "x", "-V", "mqttv5"]
        for name in ("new", "old"):
            assert mosquitto(*publish, "-u", name, "-P", "secret") == 0
            assert mosquitto(*publish, "-u", name, "-P", "wrong") != 0
        assert mosquitto(*publish) != 0
        assert mosquitto("mosquitto_passwd", "-D", "pw", "old") == 0
        applied(node)
        assert mosquitto(*publish, "-u", "old", "-P", "secret") != 0
        # The same file, taken into the store.
        user("import", "pw")
        applied(node)
        assert mosquitto(*publish, "-u", "new", "-P", "secret") == 0


def test_a_storm_of_logins_does_not_stall_the_traffic_of_others():
    user("add", "ann", "--password-stdin", stdin=b"secret")
    # However slow the machine is, the hashes are to be waited for.
    patient = ["--set", "limits.connect_deadline_seconds=60"]
    metrics = ["--set", "metrics.host=127.0.0.1", "--set", "broker.metrics_port=0"]
    with NodeProcess(*LOCAL, *patient, *metrics) as node:
        assert hash_password("x").split("$")[3] == "m=19456,t=2,p=1", "the storm is one of argon2id"
        asyncio.run(_storm(node.addresses("tcp")[0]))
        host, port = re.search(r"http://([^:]+):(\d+)/metrics", "\n".join(node.banner)).groups()
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        lag = float(re.search(r"^emqx_eventloop_lag_seconds (\S+)$", text, re.MULTILINE)[1])
        print(f"the loop was late by {lag * 1000:.1f} ms at worst")
        assert lag < LAG_SECONDS_MAX


async def _storm(address):
    """A pair exchanges messages from before the first to after the last of the refusals."""
    host, port = address
    known = {"username": "ann", "password": b"secret"}
    async with (
        AsyncClient(host, port, client_id="from", **known) as sender,
        AsyncClient(host, port, client_id="to", **known) as receiver,
    ):
        await receiver.subscribe([SubscriptionRequest("t", 1)])
        messages = receiver.messages()
        crowd = asyncio.gather(*(_refused(address, number) for number in range(STORM_CLIENTS)))
        exchanged = 0
        while not crowd.done() or exchanged == 0:
            await sender.publish("t", b"%d" % exchanged, 1)
            assert (await anext(messages)).payload == b"%d" % exchanged
            exchanged += 1
        codes = await crowd
    assert codes == [0x86] * STORM_CLIENTS
    assert exchanged > STORM_CLIENTS, "every refusal took longer than a message and its way back"


async def _refused(address, number):
    reader, writer = await asyncio.open_connection(*address)
    password = b"wrong %d" % number
    writer.write(wire.connect(V5, f"storm-{number}", user_name="ann", password=password))
    head = await reader.readexactly(2)
    body = await reader.readexactly(head[1])
    writer.close()
    await writer.wait_closed()
    return body[1]
