"""A node whose disk fails, is full or becomes read-only: no false answer, an alarm, and on it goes."""

import functools
import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.power.publishers import (
    QUOTA_EXCEEDED,
    Publisher,
    check,
    collect,
    subscribe,
)
from tests.power.shim import Faults, environment, need_library
from tests.support.command import rookery
from tests.support.node_process import NodeProcess
from tests.support.wire import V3_1_1, V5
from tests.support.wire_client import Client, tcp

SECONDS_MAX = 10.0
PAGE_BYTES = 4096
RETAINED = 40
MEMORY_BYTES_MAX = 16_000_000
FAULTS = {
    "no room": ["write -wal ENOSPC"],
    "half a write": ["write * short"],
    "writing fails": ["write -wal EIO"],
    "syncing fails": ["sync -wal EIO"],
    "read-only": ["write * EROFS", "open * EROFS", "name * EROFS"],
}


class Observed:
    """A node, and what it says of itself."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self.address = node.addresses("tcp")[0]
        (port,) = re.findall(r"http://127.0.0.1:(\d+)/", "\n".join(node.banner))
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self._url + path, timeout=SECONDS_MAX) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def until(self, path: str, there: Callable[[int, str], bool]) -> str:
        deadline = time.monotonic() + SECONDS_MAX
        while not there(*(last := self.get(path))):
            assert time.monotonic() < deadline, last
            time.sleep(0.02)
        return last[1]

    def problems(self) -> int:
        found = re.search(
            r"^emqx_store_problems(?:{.*})? (\d+)", self.get("/metrics")[1], re.MULTILINE
        )
        assert found
        return int(float(found[1]))

    def memory_bytes(self) -> int:
        status = Path(f"/proc/{self.node._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024


def node_on(directory: Path, **options: object) -> NodeProcess:
    settings = {
        "listeners": "[{type: tcp, host: 127.0.0.1, port: 0}]",
        "metrics.host": "127.0.0.1",
        "broker.metrics_port": "0",
        "store.directory": str(directory),
    }
    arguments = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return NodeProcess(*arguments, **options)


@contextmanager
def publishing(address: tuple[str, int]) -> Iterator[list[Publisher]]:
    """Publishers of both versions and both qualities of service, attached."""
    publishers = [Publisher(address, version, qos) for version in (V5, V3_1_1) for qos in (1, 2)]
    try:
        for publisher in publishers:
            publisher.attach()
        yield publishers
    finally:
        for publisher in publishers:
            publisher.close()


def fail_and_recover(
    node: Observed,
    publishers: list[Publisher],
    breaks: Callable[[], None],
    heals: Callable[[], None],
    *,
    floods: bool,
) -> None:
    """Publish before, while and after nothing can be kept."""
    for publisher in publishers:
        assert publisher.publish() == 0
    breaks()
    # Whoever waited for the commit that failed is put out; the next ones are refused.
    assert publishers[0].publish() is None
    for publisher in publishers[1:]:
        assert publisher.publish() == (QUOTA_EXCEEDED if publisher.name.startswith("p5") else None)
    told = node.until("/health/ready", lambda status, text: status == 503)
    (unready,) = (each for each in json.loads(told)["checks"] if not each["ok"])
    assert re.match(
        r"the last commit failed; /.+/rookery.db cannot (grow|be used): ", unready["detail"]
    )
    assert node.problems() >= 1
    assert "/rookery.db cannot " in node.node.event("store_problem")["problem"]
    assert node.get("/health/live")[0] == 200
    if floods:
        before = node.memory_bytes()
        for _ in range(10):
            publishers[1].flood(100, 20_000)
        assert node.memory_bytes() - before < MEMORY_BYTES_MAX
    heals()
    node.until("/health/ready", lambda status, text: status == 200)
    assert node.problems() == 0
    node.node.event("store_problem_over")
    for publisher in publishers:
        publisher.close()
        publisher.attach()
        assert publisher.publish() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk: A NODE ON A FULL DISK WAS NOT CHECKED HERE")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fails_in_many_ways(tmp_path: Path):
    need_library()
    watched = tmp_path / "watched"
    watched.mkdir()
    faults = Faults(tmp_path / "faults")
    with node_on(watched / "store", env=environment(watched, faults=faults.path)) as process:
        node = Observed(process)
        subscribe(node.address, "away")
        with publishing(node.address) as publishers:
            for what, lines in FAULTS.items():
                breaks = functools.partial(faults.set, lines)
                fail_and_recover(node, publishers, breaks, faults.heal, floods=what == "no room")
        process.send(signal.SIGKILL)
        process.wait()
    with node_on(watched / "store") as process:
        check(collect(Observed(process).address, "away", publishers), publishers)


def test_a_disk_that_is_full(small_disk: Path):
    ballast = small_disk / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            for piece in (65_536, 512):
                try:
                    while file.write(bytes(piece)):
                        pass
                except OSError:
                    continue

    with node_on(small_disk / "store") as process:
        node = Observed(process)
        subscribe(node.address, "away")
        with publishing(node.address) as publishers:
            for floods in (True, False):
                fail_and_recover(node, publishers, fill, ballast.unlink, floods=floods)
        process.send(signal.SIGKILL)
        process.wait()
    with node_on(small_disk / "store") as process:
        check(collect(Observed(process).address, "away", publishers), publishers)


def tear(path: Path) -> None:
    """Let half of each of the last pages be lost, as with the power on a disk that lies."""
    content = bytearray(path.read_bytes())
    middle = len(content) // PAGE_BYTES // 2 * PAGE_BYTES
    for begin in range(middle, len(content), PAGE_BYTES):
        content[begin : begin + PAGE_BYTES // 2] = bytes(PAGE_BYTES // 2)
    path.write_bytes(content)


def test_a_torn_database(tmp_path: Path):
    store = tmp_path / "store"
    at = ["--set", f"store.directory={store}"]
    with node_on(store) as process:
        address = Observed(process).address
        subscribe(address, "away")
        with Client(tcp(address), V5) as client:
            client.connect("p")
            for number in range(RETAINED):
                client.publish(f"r/{number}", b"x" * 1000, qos=1, retain=True)
        process.send(signal.SIGTERM)
        assert process.wait() == 0
    tear(store / "rookery.db")
    told = rookery("store", "check", *at)
    assert told.returncode == 1
    with node_on(store) as process:
        node = Observed(process)
        problem = node.node.event("store_problem")["problem"]
        found = re.search(
            r"was damaged \(.+\) and lies now at (\S+); saved: (.+); lost: (.+)", problem, re.DOTALL
        )
        assert found, problem
        assert re.fullmatch(r"rookery\.db\.broken-\d{8}-\d{6}", Path(found[1]).name)
        assert Path(found[1]).exists()
        assert node.problems() == 1
        assert node.get("/health/ready")[0] == 200
        with Client(tcp(node.address), V5) as client:
            client.connect("p")
            assert client.publish("t/1", b"x", qos=1) is not None
        told = rookery("store", "check", *at)
        assert told.returncode == 0, told
        told = rookery("store", "export", "--retained", *at)
        assert told.returncode == 0
        assert 0 < len(told.stdout.splitlines()) < RETAINED, found
        assert f"{len(told.stdout.splitlines())} retained" in found[2]
        process.send(signal.SIGTERM)
        process.wait()
    told = rookery("store", "repair", *at)
    assert told.returncode == 0
    assert b"lost: nothing that is known of\n" in told.stdout
