"""mosquitto_pub and mosquitto_sub, as shell scripts use them."""

import shutil
import subprocess

import pytest

SECONDS_MAX = 20

pytestmark = pytest.mark.skipif(
    not (shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")),
    reason="mosquitto_pub and mosquitto_sub are absent (apt install mosquitto-clients): NOT TESTED",
)

VERSIONS = pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
QOS = pytest.mark.parametrize("qos", ["0", "1", "2"])


@pytest.fixture
def over(request, node):
    """The options that reach the node by the transport that the test is parametrised with."""
    if request.param == "unix":
        return ["--unix", str(node.unix_path)]
    host, port = node.address(request.param)
    options = ["-h", host, "-p", str(port)]
    return [*options, "--cafile", str(node.certificates.ca)] if request.param == "tls" else options


TRANSPORTS = pytest.mark.parametrize("over", ["tcp", "tls", "unix"], indirect=True)


def run(program, *arguments, **options):
    done = subprocess.run(
        [program, *arguments], capture_output=True, check=False, timeout=SECONDS_MAX, **options
    )
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout


@TRANSPORTS
@VERSIONS
@QOS
def test_a_subscriber_sees_what_comes(over, name, version, qos):
    options = [*over, "-V", version, "-q", qos]
    run("mosquitto_pub", *options, "-t", f"{name}/marker", "-m", "ready", "-r")
    with subprocess.Popen(
        ["mosquitto_sub", *options, "-t", f"{name}/#", "-C", "101"], stdout=subprocess.PIPE
    ) as subscriber:
        assert subscriber.stdout.readline() == b"ready\n"
        lines = b"".join(b"line %d\n" % number for number in range(100))
        run("mosquitto_pub", *options, "-t", f"{name}/live", "-l", input=lines)
        assert subscriber.stdout.read() == lines
        assert subscriber.wait(SECONDS_MAX) == 0


@VERSIONS
def test_a_session_that_stays(node, name, version):
    host, port = node.address("tcp")
    options = ["-h", host, "-p", str(port), "-V", version, "-q", "1", "-t", name]
    run("mosquitto_sub", *options, "-c", "-i", name, "-E")
    for payload in ("one", "two"):
        run("mosquitto_pub", *options, "-m", payload)
    assert run("mosquitto_sub", *options, "-c", "-i", name, "-C", "2") == b"one\ntwo\n"


@VERSIONS
def test_will(node, name, version):
    host, port = node.address("tcp")
    options = ["-h", host, "-p", str(port), "-V", version]
    run("mosquitto_pub", *options, "-t", f"{name}/marker", "-m", "ready", "-r")
    subscribe = ["mosquitto_sub", *options, "-t", f"{name}/#", "-v"]
    will = ["--will-topic", f"{name}/will", "--will-payload", "gone"]
    with subprocess.Popen([*subscribe, "-C", "2"], stdout=subprocess.PIPE) as watcher:
        watcher.stdout.readline()
        with subprocess.Popen([*subscribe, *will], stdout=subprocess.PIPE) as doomed:
            doomed.stdout.readline()
            doomed.kill()
        assert watcher.stdout.readline() == f"{name}/will gone\n".encode()


def test_properties_of_version_5(node, name):
    host, port = node.address("tcp")
    options = ["-h", host, "-p", str(port), "-V", "mqttv5", "-t", name]
    properties = (
        ["content-type", "text/plain"],
        ["user-property", "a", "1"],
        ["correlation-data", "c"],
    )
    arguments = [part for each in properties for part in ("-D", "publish", *each)]
    run("mosquitto_pub", *options, "-m", "x", "-r", *arguments)
    shown = run("mosquitto_sub", *options, "-C", "1", "-F", "%p %C %P %D")
    assert shown.split() == [b"x", b"text/plain", b"a:1", b"c"]


def test_the_command_line_clients_understand_each_other(node, name):
    from tests.support.command import rookery

    host, port = node.address("tcp")
    where = ["-h", host, "-p", str(port), "-t", name, "-q", "1"]
    assert rookery("pub", *where, "-m", "from rookery", "-r").returncode == 0
    assert run("mosquitto_sub", *where, "-C", "1") == b"from rookery\n"
    run("mosquitto_pub", *where, "-m", "from mosquitto", "-r")
    assert rookery("sub", *where, "-C", "1").stdout == b"from mosquitto\n"
