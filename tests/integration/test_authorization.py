"""Rules that change under clients that are connected, and mosquitto's decisions on the same file beside ours."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

from tests.support import wire
from tests.support.command import rookery
from tests.support.node_process import NodeProcess
from tests.support.wire import DISCONNECT, PINGRESP, PUBLISH, V3_1_1, V5
from tests.support.wire_client import Client, tcp

LOCAL = [
    *("--set", "metrics.enabled=false"),
    *("--set", "listeners=[{type: tcp, host: 127.0.0.1, port: 0}]"),
]
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in list(os.environ):
        if variable.startswith("ROOKERY_") or variable.endswith("_PORT"):
            monkeypatch.delenv(variable)


def run(*arguments, stdin=b""):
    done = rookery(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@contextmanager
def client(address, version=V5, client_id="c", **options):
    with Client(tcp(address), version) as peer:
        peer.connect(client_id, **options)
        yield peer


def what_comes(peer):
    """The topics of the messages that came until now."""
    peer.send(wire.PINGREQ_PACKET)
    topics = []
    while (found := peer.receive()).kind != PINGRESP:
        assert found.kind == PUBLISH, found
        topics.append(found.topic)
    return topics


@pytest.mark.parametrize("version", [V5, V3_1_1])
def test_rules_of_the_command_line_reach_clients_that_are_connected(version):
    with NodeProcess(*LOCAL) as node:
        address = node.addresses("tcp")[0]
        with client(address, version, "r") as reader, client(address, V5, "s") as sender:
            assert list(reader.subscribe(("t/#", 0), ("u", 0)).reasons) == [0, 0]
            assert sender.publish("t/1", qos=1).reason in (None, 0)
            assert what_comes(reader) == ["t/1"]
            run("acl", "add", "--deny", "--client", "r", "--action", "subscribe", "--topic", "t/x")
            assert node.event("file_applied")["file"].endswith("access.db")
            # There are rules now, and what none allows is denied.
            revoked = [node.event("subscription_revoked") for _ in range(2)]
            assert {each["topic"]: each["rule"] for each in revoked} == {
                "t/#": "access database, rule 1: deny subscribe t/x (client r)",
                "u": "authorization.default: deny, for no rule fits",
            }
            assert sender.publish("t/1", qos=1).reason == 0x87
            run("acl", "add", "--allow", "--all", "--topic", "#")
            node.event("file_applied")
            assert sender.publish("t/1", qos=1).reason == 0x10
            assert what_comes(reader) == []
            failure = 0x87 if version == V5 else 0x80
            assert list(reader.subscribe(("t/#", 0), ("t/1", 0)).reasons) == [failure, 0]
            run("acl", "remove", "1")
            node.event("file_applied")
            assert list(reader.subscribe(("t/#", 0)).reasons) == [0]


@pytest.mark.parametrize("version", [V5, V3_1_1])
def test_a_user_that_is_disabled_is_put_out(version):
    run("user", "add", "ann", "--password-stdin", "-a", "sha256", stdin=b"secret")
    with NodeProcess(*LOCAL) as node:
        address = node.addresses("tcp")[0]
        known = {"user_name": "ann", "password": b"secret"}
        with client(address, version, **known) as peer:
            run("user", "disable", "ann")
            if version == V5:
                assert peer.expect(DISCONNECT).reason == 0x87
            peer.expect_end()
            refused = node.event("client_refused")
            assert (refused["reason"], refused["username"]) == ("not_admitted_any_more", "ann")


def test_a_file_of_rules_and_a_configuration_that_change(tmp_path):
    acl, config = tmp_path / "acl", tmp_path / "rookery.yaml"
    acl.write_text("topic t/#\n")
    config.write_text("authorization: {acl_file: acl}\n")
    with NodeProcess(*LOCAL) as node:
        address = node.addresses("tcp")[0]
        with client(address) as peer:
            assert list(peer.subscribe(("t/1", 0)).reasons) == [0]
            acl.write_text("topic write t/#\nnonsense\n")
            refused = node.event("file_refused")
            assert refused["reason"].startswith("acl:2: a line begins with user, topic")
            assert peer.publish("t/1", qos=1).reason == 0
            assert what_comes(peer) == ["t/1"]
            acl.write_text("topic write t/#\n")
            assert node.event("subscription_revoked")["topic"] == "t/1"
            assert peer.publish("t/1", qos=1).reason == 0x10
            config.write_text("authorization: {default: allow}\n")
            node.send(signal.SIGHUP)
            assert node.event("config_reloaded")["needs_restart"] == []
            while peer.publish("u", qos=1).reason == 0x87:
                time.sleep(0.01)  # The configuration is applied off the handler of the signal.
            assert list(peer.subscribe(("t/1", 0)).reasons) == [0]


def test_a_durable_session_is_reviewed_when_its_client_is_back():
    keep = {"clean": False, "properties": {"session_expiry": 600}}
    with NodeProcess(*LOCAL) as node:
        address = node.addresses("tcp")[0]
        with client(address, V5, "r", **keep) as reader:
            reader.subscribe(("secret/x", 1), ("open/x", 1))
        with client(address, V5, "s") as sender:
            for topic in ("secret/x", "open/x"):
                assert sender.publish(topic, qos=1).reason == 0
        node.send(signal.SIGTERM)
        assert node.wait() == 0
    run("acl", "add", "--deny", "--client", "r", "--topic", "secret/#")
    run("acl", "add", "--allow", "--all", "--topic", "#")
    with (
        NodeProcess(*LOCAL) as node,
        client(node.addresses("tcp")[0], V5, "r", **keep) as reader,
    ):
        assert reader.connack.session_present
        assert reader.receive_message().topic == "open/x"
        assert node.event("subscription_revoked")["topic"] == "secret/x"
        assert what_comes(reader) == []


# --- Beside mosquitto ---------------------------------------------------------------------------

ACL = """\
# Before the first user: anonymous clients.
topic read news/#
topic write inbox/+
topic deny news/secret
topic $SYS/x/#

user ann
topic readwrite of/ann/#
topic deny of/ann/secret
topic write up/#
topic read down/+
topic plain
topic readwrite with space/a b
topic #

user bob
topic read #
topic deny private/#
topic write $own/bob

user ann
topic deny later/denied

user feeder
topic readwrite #
topic readwrite $own/#

pattern read seen/%u
pattern write made/%c/#
pattern readwrite both/%u/%c
pattern deny made/%c/closed
pattern readwrite mid-%c-le/x
"""

TOPICS = [
    "news/1", "news/secret", "news", "inbox/1", "inbox/1/2", "$SYS/x/1",
    "of/ann", "of/ann/x/y", "of/ann/secret", "of/bob", "up", "up/1", "down/1", "down/1/2", "plain",
    "plain/x", "with space/a b", "private", "private/1", "$own/bob", "later/denied", "later/other",
    "seen/ann", "seen/bob", "seen/", "made/c1/1", "made/c1/closed", "made/c2/1", "both/ann/c1",
    "both/bob/c1", "both/ann/c2", "mid-c1-le/x", "mid-c2-le/x", "a/b", "",
]  # fmt: skip
CLIENTS = [("ann", "c1"), ("bob", "c2"), ("carl", "c1"), (None, "c1"), ("ann", "a b"), ("é", "c3")]


@contextmanager
def mosquitto(folder):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    conf = folder / "mosquitto.conf"
    conf.write_text(
        f"listener {port} 127.0.0.1\nconnection_messages false\nallow_anonymous true\nacl_file {folder}/acl\n"
        "log_type information\n"  # It says when it runs, and not so much that its pipe fills up.
        + ("user root\n" if os.geteuid() == 0 else "")  # Else it cannot read the folder.
    )
    with subprocess.Popen(
        [MOSQUITTO, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while "running" not in (line := process.stderr.readline()):
            assert line, "mosquitto did not start"
        try:
            yield ("127.0.0.1", port)
        finally:
            process.terminate()
            process.communicate(timeout=20)


def login(user):
    return {} if user is None else {"user_name": user, "password": b"x"}


def may_write(address, user, client_id, topic):
    """By the PUBACK, which says it in 5.0."""
    with client(address, V5, client_id, **login(user)) as peer:
        return peer.publish(topic, b"x", qos=1).reason < 0x80


def may_read(address, user, client_id, topic):
    """By whether a message arrives: mosquitto grants every subscription."""
    with (
        client(address, V5, client_id, **login(user)) as peer,
        client(address, V5, "feeder", **login("feeder")) as feeder,
    ):
        peer.subscribe((topic, 0))
        if feeder.publish(topic, b"x", qos=1).reason >= 0x80:
            return None
        return what_comes(peer) == [topic]


@pytest.mark.skipif(not MOSQUITTO, reason="mosquitto is absent (apt install mosquitto): NOT TESTED")
def test_the_same_file_decides_as_it_does_for_mosquitto(tmp_path):
    (tmp_path / "acl").write_text(ACL)
    users = ", ".join(
        f"{{username: {name}, password: x, algorithm: plain}}"
        for name in ("ann", "bob", "carl", "feeder", "é")
    )
    settings = [
        *("--set", "authorization.acl_file=acl"),
        *("--set", f"broker.auth.users=[{users}]"),
        *("--set", "authentication.anonymous=allow"),
    ]
    asked = 0
    differing = []
    with mosquitto(tmp_path) as theirs, NodeProcess(*LOCAL, *settings) as node:
        ours = node.addresses("tcp")[0]
        for user, client_id in CLIENTS:
            for topic in filter(None, TOPICS):
                for may in (may_write, may_read):
                    decisions = [may(each, user, client_id, topic) for each in (theirs, ours)]
                    asked += None not in decisions
                    if decisions[0] != decisions[1] and topic.split("/")[0] != "$SYS":
                        differing.append((may.__name__, user, client_id, topic, *decisions))
    assert differing == []
    assert asked > 300
