"""``rookery start`` from its start to its end: signals, ports, logs."""

import os
import signal
import socket
import ssl

import pytest

from tests.support import wire
from tests.support.command import rookery
from tests.support.node_process import NodeProcess
from tests.support.wire import CONNACK, V3_1_1, V5
from tests.support.wire_client import Client, Closed, tcp

QUIET = ["--set", "metrics.enabled=false"]


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in list(os.environ):
        if variable.startswith("ROOKERY_") or variable.endswith("_PORT"):
            monkeypatch.delenv(variable)


def listeners(*options):
    """The --set of TCP listeners on ports that the system chooses."""
    texts = [f"{{type: tcp, host: 127.0.0.1, port: 0{option}}}" for option in options or ("",)]
    return ["--set", f"listeners=[{', '.join(texts)}]", *QUIET]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_drain(signum):
    with NodeProcess(*listeners()) as node:
        address = node.addresses("tcp")[0]
        with Client(tcp(address), V5) as five, Client(tcp(address), V3_1_1) as three:
            five.connect("five", will=wire.Will("will", b"not this"))
            five.subscribe("#")
            three.connect("three")
            three.publish("a", b"x", qos=1)
            five.receive_message("a", b"x")
            node.send(signum)
            five.expect_closed(0x8B)
            three.expect_closed()
            assert node.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            tcp(address)


def test_drain_with_a_server_reference():
    with NodeProcess(*listeners(), "--set", "mqtt.server_reference=other:1883") as node:
        with Client(tcp(node.addresses("tcp")[0]), V5) as client:
            client.connect()
            node.send(signal.SIGTERM)
            gone = client.expect(wire.DISCONNECT, reason=0x9C)
            assert gone.get("server_reference") == "other:1883"
        assert node.wait() == 0


def test_drain_does_not_wait_for_a_client_that_never_reads():
    with NodeProcess(*listeners(), "--set", "limits.output_bytes_max=65536") as node:
        address = node.addresses("tcp")[0]
        with Client(tcp(address), V5) as stuck, Client(tcp(address), V5) as sender:
            stuck.connect("stuck")
            stuck.subscribe("#")
            sender.connect("sender")
            for _ in range(200):
                sender.publish("a", bytes(100_000), qos=1)
            node.send(signal.SIGTERM)
            assert node.wait() == 0


def test_hangup_changes_the_log_level(tmp_path):
    file = tmp_path / "rookery.yaml"
    file.write_text("log: {level: warning}\n")
    with NodeProcess("-c", str(file), *listeners()) as node:
        address = node.addresses("tcp")[0]
        with Client(tcp(address), V5) as client:
            client.connect("unseen")
        file.write_text("log: {level: info}\n")
        node.send(signal.SIGHUP)
        first = node.log(lambda record: True)
        assert (first["event"], first["log_level"]) == ("config_reloaded", "info")
        with Client(tcp(address), V5) as client:
            client.connect("seen")
        assert node.event("client_connected")["client_id"] == "seen"

        file.write_text("log: {level: info\n")
        node.send(signal.SIGHUP)
        assert "rookery.yaml" in str(node.event("config_refused")["errors"])
        with Client(tcp(address), V5) as client:
            client.connect("still there")
        assert node.event("client_connected")["client_id"] == "still there"


def free_ports(count):
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def predecessor(mqtt_port, metrics_port):
    """The environment that the predecessor's deployments have."""
    return {
        **os.environ,
        "NODE_ID": f"node-{mqtt_port}",
        "MQTT_PORT": f":{mqtt_port}",
        "METRICS_PORT": f":{metrics_port}",
    }


def test_a_second_node_on_other_ports():
    mqtt_a, metrics_a, mqtt_b, metrics_b = free_ports(4)
    with (
        NodeProcess(env=predecessor(mqtt_a, metrics_a)) as a,
        NodeProcess(env=predecessor(mqtt_b, metrics_b)) as b,
    ):
        assert f"node-{mqtt_a}" in a.banner[0] and f"node-{mqtt_b}" in b.banner[0]
        for port in (mqtt_a, mqtt_b):
            with Client(tcp(("127.0.0.1", port)), V5) as client:
                client.connect()
        for node in (a, b):
            node.send(signal.SIGTERM)
            assert node.wait() == 0


@pytest.mark.parametrize("taken", ["mqtt", "metrics"])
def test_a_port_that_is_taken(taken):
    mqtt_port, metrics_port = free_ports(2)
    with socket.create_server(
        ("0.0.0.0", mqtt_port if taken == "mqtt" else metrics_port)
    ) as holder:
        done = rookery("start", env=predecessor(mqtt_port, metrics_port))
        said = done.stderr.decode()
        assert done.returncode == 1
        assert str(holder.getsockname()[1]) in said and "in use" in said
        assert "Traceback" not in said


def proxied(address, header):
    stream = tcp(address)
    stream.sendall(header)
    return Client(stream, V5)


V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4_ADDRESSES = socket.inet_aton("203.0.113.7") + socket.inet_aton("192.0.2.1") + b"\xdc\x04\x07\x5b"
V6_ADDRESSES = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + b"\xdc\x04\x07\x5b"
)


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 1883\r\n", "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 1883\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (V2_SIGNATURE + b"\x21\x11\x00\x0c" + V4_ADDRESSES, "203.0.113.7"),
        (V2_SIGNATURE + b"\x21\x21\x00\x24" + V6_ADDRESSES, "2001:db8::7"),
        (V2_SIGNATURE + b"\x21\x11\x00\x0f" + V4_ADDRESSES + b"\x04\0\0", "203.0.113.7"),
        (V2_SIGNATURE + b"\x20\x00\x00\x00", "127.0.0.1"),
    ],
    ids=["v1-4", "v1-6", "v1-unknown", "v2-4", "v2-6", "v2-tlv", "v2-local"],
)
def test_proxy_protocol(proxy_node, header, source):
    with proxied(proxy_node.addresses("tcp")[0], header) as client:
        client.connect("through the proxy")
        assert proxy_node.event("client_connected")["address"] == source
        client.disconnect()
        assert proxy_node.event("client_disconnected")["address"] == source


def test_proxy_protocol_without_its_header(proxy_node):
    with Client(tcp(proxy_node.addresses("tcp")[0]), V5) as client:
        client.send(wire.connect(V5, "direct"))
        with pytest.raises(Closed):
            client.receive()
    assert proxy_node.event("client_refused")["address"] == "127.0.0.1"


def test_a_proxy_header_where_none_is_expected():
    with NodeProcess(*listeners()) as node:
        header = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 1883\r\n"
        with proxied(node.addresses("tcp")[0], header) as client:
            client.send(wire.connect(V5, "x"))
            with pytest.raises((Closed, AssertionError)):
                client.expect(CONNACK, reason=0)


@pytest.fixture(scope="module")
def proxy_node():
    with NodeProcess(*listeners(", proxy_protocol: true, anonymous: allow")) as node:
        yield node


def test_proxy_protocol_before_tls(certificates):
    pair = certificates.server
    tls = f"tls: {{certificate: {pair.certificate}, private_key: {pair.private_key}}}"
    listener = (
        f"{{type: tls, host: 127.0.0.1, port: 0, proxy_protocol: true, anonymous: allow, {tls}}}"
    )
    with NodeProcess("--set", f"listeners=[{listener}]", *QUIET) as node:
        stream = tcp(node.addresses("tls")[0])
        stream.sendall(V2_SIGNATURE + b"\x21\x11\x00\x0c" + V4_ADDRESSES)
        context = ssl.create_default_context(cafile=certificates.ca)
        with Client(context.wrap_socket(stream, server_hostname="localhost"), V5) as client:
            client.connect("encrypted")
            connected = node.event("client_connected")
            assert (connected["client_id"], connected["address"]) == ("encrypted", "203.0.113.7")
