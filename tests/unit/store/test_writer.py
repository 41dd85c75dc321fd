"""The writer: what is full and has room again, what fails and works again, what is given back."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rookery.ports import Store
from rookery.store import writer
from rookery.store.faults import StoreFault
from tests.support.stores import SteppedClock, commit, group, opened, session, sqlite_store

LARGE = b"x" * 100_000


def run(store: Store, work) -> None:
    async def both() -> None:
        await store.open()
        try:
            await work()
        finally:
            await store.close()

    asyncio.run(both())


def test_over_the_bytes_allowed_messages_are_refused_and_all_else_passes(tmp_path: Path):
    store = sqlite_store(tmp_path, bytes_max=1_000_000)

    async def work() -> None:
        blocks = 0
        while (error := await commit(store, group(blocks + 1, LARGE))) is None:
            blocks += 1
        assert 7 <= blocks <= 9
        assert isinstance(error, StoreFault)
        assert "is full" in str(error)
        assert "store.bytes_max" in str(error)
        problems = store.problems()
        assert problems[0] == str(error)
        assert any("of the 1000000 that store.bytes_max allows" in text for text in problems[1:])
        # What makes room must pass, or there would never be any.
        assert await commit(store, group(20, sessions={1: session(1)})) is None
        assert store.full()
        assert store.problems() == problems, "that it passes makes no room"
        assert await commit(store, group(21, finished_blocks=list(range(1, blocks + 1)))) is None
        assert not store.full()
        assert store.problems() == []
        assert await commit(store, group(22, LARGE)) is None

    run(store, work)
    assert asyncio.run(opened(lambda: sqlite_store(tmp_path))).blocks == [22]


def test_it_is_full_until_there_is_some_room_to_spare(tmp_path: Path):
    store = sqlite_store(tmp_path, bytes_max=1_000_000)

    async def work() -> None:
        blocks = 0
        while await commit(store, group(blocks + 1, b"x" * 10_000)) is None:
            blocks += 1
        freed = 0
        while store.full():
            freed += 1
            assert await commit(store, group(200 + freed, finished_blocks=[freed])) is None
        assert 2 <= freed <= 6, "more than the one message takes that was refused"

    run(store, work)


def test_the_operator_is_told_before_it_is_full(tmp_path: Path):
    store = sqlite_store(tmp_path, bytes_max=1_000_000)

    async def work() -> None:
        for block in range(1, 9):
            assert await commit(store, group(block, LARGE)) is None
            assert (store.problems() == []) == (block < 8), block

    run(store, work)


def test_the_time_is_noted_with_commits_but_not_with_each(tmp_path: Path):
    clock = SteppedClock()
    store = sqlite_store(tmp_path, clock=clock)
    begin = clock.now

    def noted() -> float:
        connection = sqlite3.connect(tmp_path / "rookery.db")
        try:
            return connection.execute("SELECT alive_at FROM meta").fetchone()[0]
        finally:
            connection.close()

    async def work() -> None:
        for block, (step, expected) in enumerate(((0, 0), (0.5, 0), (0.25, 0), (0.5, 1.25)), 1):
            clock.now += step
            await commit(store, group(block, b"x"))
            assert noted() == begin + expected
        clock.now -= 1000  # A clock that is set back is followed.
        await commit(store, group(9, b"x"))
        assert noted() == clock.now

    run(store, work)
    assert asyncio.run(opened(lambda: sqlite_store(tmp_path))).alive_at_wall == clock.now


def test_the_time_is_noted_without_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "TICK_SECONDS", 0.01)
    ticked = threading.Event()

    class Clock(SteppedClock):
        def wall(self) -> float:
            self.now += 1
            if self.now > 1_800_000_010:
                ticked.set()
            return self.now

    store = sqlite_store(tmp_path, clock=Clock())

    async def work() -> None:
        await asyncio.to_thread(ticked.wait, 20)

    run(store, work)
    assert asyncio.run(opened(lambda: sqlite_store(tmp_path))).alive_at_wall > 1_800_000_005


def test_a_file_that_was_large_becomes_small_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "FREE_BYTES_KEPT", 1_000_000)
    store = sqlite_store(tmp_path)

    async def work() -> None:
        for block in range(1, 101):
            assert await commit(store, group(block, LARGE)) is None
        assert await commit(store, group(101, finished_blocks=list(range(1, 101)))) is None

    run(store, work)  # The last tick is at the close.
    assert (tmp_path / "rookery.db").stat().st_size < 2_000_000


def test_pages_that_are_free_are_filled_first(tmp_path: Path):
    store = sqlite_store(tmp_path)

    async def work() -> None:
        for block in range(1, 501):
            gone = [block - 10] if block > 10 else []
            assert await commit(store, group(block, LARGE, finished_blocks=gone)) is None

    run(store, work)
    assert (tmp_path / "rookery.db").stat().st_size < 3_000_000


def test_a_file_that_is_gone_is_not_begun_anew(tmp_path: Path):
    store = sqlite_store(tmp_path)

    async def work() -> None:
        assert await commit(store, group(1, b"x")) is None
        store._writer._disconnect()
        (tmp_path / "rookery.db").unlink()
        error = await commit(store, group(2, b"x"))
        assert "is gone" in str(error)

    run(store, work)
    assert not (tmp_path / "rookery.db").exists()


def test_the_log_is_not_closed_with_the_connection_that_writes(tmp_path: Path):
    """Who opens it next would take what a failed commit has written into it for done."""
    store = sqlite_store(tmp_path)

    async def work() -> None:
        assert await commit(store, group(1, b"x")) is None
        store._writer._disconnect()
        assert (tmp_path / "rookery.db-wal").exists()
        assert await commit(store, group(2, b"x")) is None

    run(store, work)
    assert not (tmp_path / "rookery.db-wal").exists()


SMALL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from rookery.records import position_of
from tests.support.stores import commit, group, read, sqlite_store

async def main():
    store = sqlite_store(Path(sys.argv[1]), sys.argv[3])
    await store.open()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
    good = refused = 0
    while refused < 4:  # The first time the log is full, and then the file itself.
        error = await commit(store, group(good + 1, b"x" * 100_000, retained={"t": good}))
        good, refused = (good + 1, 0) if error is None else (good, refused + 1)
        assert good < 100
        assert (store.problems() == []) == (error is None)
    print(type(error).__name__, error, file=sys.stderr)
    assert 1 <= good
    assert await read(store, position_of(1, 0)) == [b"x" * 100_000]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert await commit(store, group(good + 1, b"y")) is None
    assert store.problems() == []
    await store.close()
    loaded = await (store := sqlite_store(Path(sys.argv[1]))).open()
    assert loaded.blocks == list(range(1, good + 2)), loaded.blocks
    assert loaded.retained == [("t", good - 1)], loaded.retained
    await store.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_no_room_is_told_and_survived(tmp_path: Path, durability: str):
    """A limit on the size of files stands for the disk: beyond it write fails."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, str(tmp_path), str(root), durability],
        check=False,
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("StoreFault")


@pytest.fixture
def small_disk(tmp_path: Path):
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk: A FULL DISK WAS NOT CHECKED HERE")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_room_is_found(small_disk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "TICK_SECONDS", 0.02)
    store = sqlite_store(small_disk / "data")

    async def work() -> None:
        assert await commit(store, group(1, LARGE)) is None
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"z" * 4096)
            except OSError:
                pass
        error = await commit(store, group(2, LARGE * 3))
        assert "make room on the disk" in str(error), error
        await asyncio.sleep(0.1)  # Ticks do not hide it.
        assert str(error) in store.problems()
        ballast.unlink()
        for _ in range(500):
            if not store.problems():
                break
            await asyncio.sleep(0.01)
        assert store.problems() == []
        assert await commit(store, group(2, LARGE)) is None

    run(store, work)
    assert asyncio.run(opened(lambda: sqlite_store(small_disk / "data"))).blocks == [1, 2]


def test_a_disk_that_became_read_only_is_told(small_disk: Path):
    store = sqlite_store(small_disk / "data")

    def remount(how: str) -> int:
        command = ["mount", "-o", f"remount,{how}", str(small_disk)]
        return subprocess.run(command, check=False, capture_output=True).returncode

    async def work() -> None:
        assert await commit(store, group(1, b"x")) is None
        await asyncio.to_thread(store._writer.stop)  # Files open for writing keep it writable.
        store._reader.stop()
        store._lock.release()
        if await asyncio.to_thread(remount, "ro"):
            pytest.skip("no read-only disk to be had: NOT CHECKED")
        other = sqlite_store(small_disk / "data")
        with pytest.raises(StoreFault, match="Read-only file system"):
            await other.open()
        assert await asyncio.to_thread(remount, "rw") == 0

    run(store, work)
    assert asyncio.run(opened(lambda: sqlite_store(small_disk / "data"))).blocks == [1]
