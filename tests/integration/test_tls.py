"""TLS as others speak it: OpenSSL's client, mosquitto's, paho's, and WebSocket over it."""

import gc
import shutil
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from websockets.sync.client import connect as dial_web_socket

from tests.support.broker import RunningBroker
from tests.support.certificates import Authority, Certificates, Pair
from tests.support.command import rookery
from tests.support.node_process import NodeProcess

SECONDS_MAX = 20
CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
CONNACK = b"\x20\x02\x00\x00"

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is absent (apt install openssl): NOT TESTED"
)
needs_mosquitto = pytest.mark.skipif(
    not (shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")),
    reason="mosquitto_pub and mosquitto_sub are absent (apt install mosquitto-clients): NOT TESTED",
)


def files(pair: Pair) -> dict[str, Any]:
    return {"certificate": str(pair.certificate), "private_key": str(pair.private_key)}


@pytest.fixture(scope="module")
def broker(certificates: Certificates) -> Iterator[RunningBroker]:
    """A node with a listener of each kind that is tested here."""
    made = certificates
    local = {"host": "127.0.0.1", "port": 0}
    clients = {"ca": str(made.ca), "client_certificate": "required", "crl": str(made.crl)}
    hosts = [files(made.chained_server), files(made.wildcard_server)]
    tls = {
        "plain": files(made.server) | {"certificates": hosts},
        "newest": files(made.server) | {"minimum_version": "1.3"},
        "mutual": files(made.server) | clients,
        "elsewhere": files(made.server_wrong_host),
        "expired": files(made.server_expired),
    }
    listeners = [
        {"type": "tls", "name": name, "tls": options, **local} for name, options in tls.items()
    ]
    listeners.append({"type": "wss", "name": "wss", "tls": tls["plain"], **local})
    with RunningBroker({"listeners": listeners}) as running:
        yield running


def s_client(broker: RunningBroker, listener: str, *options: str) -> str:
    """What ``openssl s_client`` says of a connection on which it connects with MQTT."""
    host, port = broker.listener(listener)
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", *options]
    # Unbuffered: closing must not write to one that has given up by then.
    with subprocess.Popen(
        command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.write(CONNECT)
        said = b""
        while CONNACK not in said and (more := process.stdout.read(65_536)):
            said += more
        process.stdin.close()
        said += process.stdout.read()
        process.wait(SECONDS_MAX)
    return said.decode(errors="replace")


def trusting(certificates: Certificates, *more: str) -> list[str]:
    return ["-CAfile", str(certificates.ca), "-verify_return_error", *more]


def showing(pair: Pair) -> list[str]:
    return [
        "-cert",
        str(pair.certificate),
        "-key",
        str(pair.private_key),
        "-cert_chain",
        str(pair.certificate),
    ]


@needs_openssl
class TestOpenSsl:
    @pytest.mark.parametrize("version", ["1.2", "1.3"])
    def test_both_versions_with_forward_secrecy(
        self, broker: RunningBroker, certificates: Certificates, version: str
    ) -> None:
        option = f"-tls{version.replace('.', '_')}"
        said = s_client(
            broker, "plain", *trusting(certificates, option, "-verify_hostname", "localhost")
        )
        assert CONNACK.decode() in said
        assert "Verify return code: 0 (ok)" in said
        assert f"New, TLSv{version}, Cipher is " in said
        assert "GCM" in said or "CHACHA20" in said

    @pytest.mark.parametrize(
        "options",
        [
            ("plain", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"),
            ("plain", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),
            ("newest", "-tls1_2"),
        ],
    )
    def test_what_is_older_is_refused(
        self, broker: RunningBroker, options: tuple[str, ...]
    ) -> None:
        said = s_client(broker, *options)
        assert CONNACK.decode() not in said
        assert "alert" in said

    @pytest.mark.parametrize(
        ("host", "subject"),
        [
            ("localhost", "server"),
            ("chained.example", "chained-server"),
            ("a.wild.example", "wildcard-server"),
            ("unknown.example", "server"),
        ],
    )
    def test_each_host_has_its_certificate(
        self, broker: RunningBroker, certificates: Certificates, host: str, subject: str
    ) -> None:
        said = s_client(broker, "plain", *trusting(certificates, "-servername", host))
        assert f"subject=CN = {subject}\n" in said
        assert "Verify return code: 0 (ok)" in said

    def test_mqtt_is_agreed_on(self, broker: RunningBroker, certificates: Certificates) -> None:
        said = s_client(broker, "plain", *trusting(certificates, "-alpn", "h2,mqtt"))
        assert "ALPN protocol: mqtt" in said

    @pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
    @pytest.mark.parametrize("listener", ["plain", "mutual"])
    def test_a_session_is_resumed(
        self,
        broker: RunningBroker,
        certificates: Certificates,
        tmp_path: Path,
        version: str,
        listener: str,
    ) -> None:
        session = str(tmp_path / "session")
        options = trusting(certificates, version)
        if listener == "mutual":
            options += showing(certificates.client)
        said = s_client(broker, listener, *options, "-sess_out", session)
        assert "\nNew, TLSv1" in said
        said = s_client(broker, listener, *options, "-sess_in", session)
        assert "\nReused, TLSv1" in said
        assert CONNACK.decode() in said

    @pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
    @pytest.mark.parametrize(
        ("name", "alert"),
        [
            (None, "alert"),
            ("client_revoked", "alert certificate revoked"),
            ("client_expired", "alert certificate expired"),
            ("client_of_other_ca", "alert unknown ca"),
        ],
    )
    def test_a_bad_client_certificate_gets_nowhere(
        self,
        broker: RunningBroker,
        certificates: Certificates,
        version: str,
        name: str | None,
        alert: str,
    ) -> None:
        options = trusting(certificates, version)
        if name is not None:
            options += showing(getattr(certificates, name))
        said = s_client(broker, "mutual", *options)
        assert CONNACK.decode() not in said
        assert alert in said

    def test_a_good_client_certificate_does(
        self, broker: RunningBroker, certificates: Certificates
    ) -> None:
        options = trusting(certificates, *showing(certificates.client))
        assert CONNACK.decode() in s_client(broker, "mutual", *options)


def run_mosquitto(broker: RunningBroker, listener: str, *options: str) -> tuple[int, str]:
    host, port = broker.listener(listener)
    done = subprocess.run(
        ["mosquitto_pub", "-h", host, "-p", str(port), "-t", "t", "-m", "x", "-q", "1", *options],
        capture_output=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    return done.returncode, done.stderr.decode()


@needs_mosquitto
class TestMosquitto:
    @pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
    def test_a_good_one(
        self, broker: RunningBroker, certificates: Certificates, version: str
    ) -> None:
        options = ["--cafile", str(certificates.ca), "--tls-version", version]
        assert run_mosquitto(broker, "plain", *options, "--tls-alpn", "mqtt") == (0, "")
        pair = certificates.client
        options += ["--cert", str(pair.certificate), "--key", str(pair.private_key)]
        assert run_mosquitto(broker, "mutual", *options) == (0, "")

    @pytest.mark.parametrize("listener", ["elsewhere", "expired"])
    def test_it_refuses_our_bad_certificates(
        self, broker: RunningBroker, certificates: Certificates, listener: str
    ) -> None:
        code, _ = run_mosquitto(broker, listener, "--cafile", str(certificates.ca))
        assert code != 0

    def test_it_refuses_an_authority_it_does_not_know(
        self, broker: RunningBroker, certificates: Certificates
    ) -> None:
        code, _ = run_mosquitto(broker, "plain", "--cafile", str(certificates.other_ca))
        assert code != 0

    @pytest.mark.parametrize("name", ["client_revoked", "client_expired", "client_of_other_ca"])
    def test_its_bad_certificates_are_refused(
        self, broker: RunningBroker, certificates: Certificates, name: str
    ) -> None:
        pair: Pair = getattr(certificates, name)
        options = ["--cafile", str(certificates.ca), "--cert", str(pair.certificate)]
        code, _ = run_mosquitto(broker, "mutual", *options, "--key", str(pair.private_key))
        assert code != 0


def paho_connects(
    broker: RunningBroker, listener: str, ca: Path, pair: Pair | None = None, **options: Any
) -> bool:
    """Whether paho is let in; what its TLS refuses is raised."""
    host, port = broker.listener(listener)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, **options)
    client.tls_set(
        str(ca),
        None if pair is None else str(pair.certificate),
        None if pair is None else str(pair.private_key),
    )
    ended, accepted = threading.Event(), []

    def connected(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        accepted.append(not reason.is_failure)
        ended.set()

    client.on_connect = connected
    client.on_disconnect = lambda *_: ended.set()
    try:
        client.connect(host, port)
        client.loop_start()
        assert ended.wait(SECONDS_MAX)
        return accepted == [True]
    finally:
        client.disconnect()
        client.loop_stop()


class TestPaho:
    @pytest.mark.parametrize("transport", ["tcp", "websockets"])
    def test_a_good_one(
        self, broker: RunningBroker, certificates: Certificates, transport: str
    ) -> None:
        listener = "plain" if transport == "tcp" else "wss"
        assert paho_connects(broker, listener, certificates.ca, transport=transport)

    def test_client_certificates(self, broker: RunningBroker, certificates: Certificates) -> None:
        assert paho_connects(broker, "mutual", certificates.ca, certificates.client)

    @pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <ssl.SSLSocket"
    )  # It leaves its own open.
    @pytest.mark.parametrize("listener", ["elsewhere", "expired"])
    def test_it_refuses_our_bad_certificates(
        self, broker: RunningBroker, certificates: Certificates, listener: str
    ) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            paho_connects(broker, listener, certificates.ca)
        gc.collect()


def test_web_sockets_agree_on_http(broker: RunningBroker, certificates: Certificates) -> None:
    host, port = broker.listener("wss")
    context = ssl.create_default_context(cafile=certificates.ca)
    context.set_alpn_protocols(["mqtt", "http/1.1"])
    with dial_web_socket(
        f"wss://{host}:{port}/mqtt",
        ssl=context,
        subprotocols=["mqtt"],  # type: ignore[list-item]
    ) as socket:
        assert isinstance(socket.socket, ssl.SSLSocket)
        assert socket.socket.selected_alpn_protocol() == "http/1.1"
        socket.send(CONNECT)
        assert socket.recv(SECONDS_MAX) == CONNACK


class Served:
    """A node in a process of its own whose certificates the test changes."""

    def __init__(self, directory: Path, node: NodeProcess) -> None:
        self.directory = directory
        self.node = node
        ((self.host, self.port),) = node.addresses("tls")

    def options(self, ca: Path) -> list[str]:
        return ["-h", self.host, "-p", str(self.port), "--cafile", str(ca)]

    def publish(self, ca: Path, payload: str, *more: str) -> int:
        command = ["mosquitto_pub", *self.options(ca), "-t", "t", "-m", payload, "-q", "1", *more]
        return subprocess.run(
            command, check=False, timeout=SECONDS_MAX, capture_output=True
        ).returncode


@contextmanager
def served(directory: Path, password: str) -> Iterator[Served]:
    tls = (
        f"{{certificate: {directory}/server.pem, private_key: {directory}/server.key,"
        f" password: '${{file:{directory}/password}}'}}"
    )
    config = directory / "rookery.yaml"
    config.write_text(
        f"listeners: [{{type: tls, host: 127.0.0.1, port: 0, tls: {tls}}}]\n"
        "metrics: {enabled: false}\nstore: {durability: memory}\n"
    )
    (directory / "password").write_text(password + "\n")
    with NodeProcess("-c", str(config)) as node:
        yield Served(directory, node)


@needs_mosquitto
@pytest.mark.parametrize("by_signal", [True, False])
def test_certificates_change_under_a_client_that_stays(tmp_path: Path, by_signal: bool) -> None:
    old = Authority(tmp_path, "old")
    old.server(password="first-secret")
    with served(tmp_path, "first-secret") as it:
        assert it.publish(old.certificate, "ready", "-r") == 0
        with subprocess.Popen(
            ["mosquitto_sub", *it.options(old.certificate), "-t", "#", "-q", "1", "-C", "4"],
            stdout=subprocess.PIPE,
        ) as subscriber:
            assert subscriber.stdout is not None
            assert subscriber.stdout.readline() == b"ready\n"
            assert it.publish(old.certificate, "before") == 0
            new = Authority(tmp_path, "new")
            if by_signal:
                # The password changes as well, and only a new look at the configuration tells it.
                (tmp_path / "password").write_text("second-secret\n")
                new.server(password="second-secret")
                it.node.send(signal.SIGHUP)
            else:
                new.server(password="first-secret")
            it.node.event("tls_reloaded")
            assert it.publish(old.certificate, "never") != 0
            assert it.publish(new.certificate, "after") == 0
            assert it.publish(new.certificate, "last") == 0
            assert subscriber.stdout.read() == b"before\nafter\nlast\n"
            assert subscriber.wait(SECONDS_MAX) == 0
        it.node.send(signal.SIGTERM)
        assert it.node.wait() == 0
        log = "\n".join([*it.node.banner, *it.node.remaining_log()])
        assert "-secret" not in log


@needs_mosquitto
def test_bad_files_are_told_and_the_former_serve_on(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.server(password="secret")
    with served(tmp_path, "secret") as it:
        (tmp_path / "server.key").write_text("half a key")
        it.node.send(signal.SIGHUP)
        line = it.node.event("tls_reload_failed")
        assert str(tmp_path / "server.key") in line["error"]
        assert it.publish(authority.certificate, "x") == 0
        (tmp_path / "password").unlink()
        it.node.send(signal.SIGHUP)
        line = it.node.event("config_refused")
        assert "listeners.0.tls.password: refers to the file" in line["errors"][0]
        assert it.publish(authority.certificate, "x") == 0


def test_a_secret_is_shown_by_no_command(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2hunter2\n")
    config = tmp_path / "f.yaml"
    config.write_text(
        "broker:\n  auth:\n    enabled: true\n    users:\n"
        f"      - {{username: a, password: '${{file:{tmp_path}/secret}}'}}\n"
        "      - {username: b, password: '${env:PW}'}\n"
        f"mqtt: {{response_information: 'x${{file:{tmp_path}/secret}}'}}\n"
    )
    environ = {"PW": "hunter3hunter3", "PATH": "/usr/bin:/bin"}
    for arguments in (["config", "show"], ["config", "show", "--json"], ["config", "check"]):
        done = rookery(*arguments, "-c", str(config), env=environ)
        assert done.returncode == 0, done.stderr
        assert b"hunter" not in done.stdout + done.stderr
    done = rookery("config", "show", "-c", str(config), "--set", "log.level=${env:PW}", env=environ)
    assert done.returncode == 1
    assert b"hunter" not in done.stdout + done.stderr
    assert b"${env:PW}" in done.stderr
