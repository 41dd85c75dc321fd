import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from rookery.store import backup, inspect
from rookery.store.faults import StoreFault
from tests.support.stores import commit, contents, group, opened, session, sqlite_store


def fill(directory: Path, client_id: str = "c") -> None:
    async def put() -> None:
        store = sqlite_store(directory)
        await store.open()
        await commit(store, group(1, b"x" * 9000, sessions={1: session(1, client_id)}))
        await store.close()

    asyncio.run(put())


def loaded(directory: Path) -> dict:
    return contents(asyncio.run(opened(lambda: sqlite_store(directory))))


def test_there_and_back(tmp_path: Path):
    fill(tmp_path / "a")
    size = backup.create(tmp_path / "a", tmp_path / "file")
    assert (tmp_path / "file").stat().st_size == size
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert backup.restore(tmp_path / "file", tmp_path / "b", force=False, wall=0.0) is None
    assert loaded(tmp_path / "b") == loaded(tmp_path / "a")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b", "file"]


def test_beside_a_running_node_it_is_of_one_moment(tmp_path: Path):
    """Every commit puts as many sessions as blocks; a backup of two moments would have more of one."""

    async def work() -> None:
        store = sqlite_store(tmp_path / "a")
        await store.open()
        running = True

        async def go_on() -> None:
            number = 0
            while running:
                number += 1
                made = group(number, b"x" * 3000, sessions={number: session(number)})
                assert await commit(store, made) is None

        commits = asyncio.create_task(go_on())
        for name in "xyz":
            await asyncio.sleep(0.05)
            await asyncio.to_thread(backup.create, tmp_path / "a", tmp_path / name)
        running = False
        await commits
        await store.close()

    asyncio.run(work())
    counts = []
    for name in "xyz":
        backup.restore(tmp_path / name, tmp_path / f"of-{name}", force=False, wall=0.0)
        found = loaded(tmp_path / f"of-{name}")
        assert len(found["blocks"]) == len(found["sessions"]) > 0
        counts.append(len(found["blocks"]))
    assert counts == sorted(set(counts))


def test_nothing_is_overwritten(tmp_path: Path):
    fill(tmp_path / "a")
    fill(tmp_path / "b", "other")
    backup.create(tmp_path / "a", tmp_path / "file")
    with pytest.raises(StoreFault, match="exists already"):
        backup.create(tmp_path / "a", tmp_path / "file")
    with pytest.raises(StoreFault, match="--force"):
        backup.restore(tmp_path / "file", tmp_path / "b", force=False, wall=0.0)
    assert loaded(tmp_path / "b")["sessions"][0][1] == "other"
    aside = backup.restore(tmp_path / "file", tmp_path / "b", force=True, wall=0.0)
    assert aside == tmp_path / "b" / "rookery.db.replaced-19700101-000000"
    assert aside.exists()
    assert loaded(tmp_path / "b")["sessions"][0][1] == "c"


def test_not_under_a_running_node(tmp_path: Path):
    fill(tmp_path / "a")
    backup.create(tmp_path / "a", tmp_path / "file")

    async def work() -> None:
        store = sqlite_store(tmp_path / "a")
        await store.open()
        with pytest.raises(StoreFault, match="in use by another node"):
            backup.restore(tmp_path / "file", tmp_path / "a", force=True, wall=0.0)
        await store.close()

    asyncio.run(work())


def test_only_a_whole_backup_is_restored(tmp_path: Path):
    fill(tmp_path / "a")
    backup.create(tmp_path / "a", tmp_path / "file")
    (tmp_path / "cut").write_bytes((tmp_path / "file").read_bytes()[:-4096])
    (tmp_path / "text").write_text("no backup " * 1000)
    (tmp_path / "empty").touch()
    for name, told in (
        ("absent", "is not there"),
        ("cut", "damaged|no backup"),
        ("text", "no backup"),
        ("empty", "it is empty"),
    ):
        with pytest.raises(StoreFault, match=told):
            backup.restore(tmp_path / name, tmp_path / "b", force=False, wall=0.0)
    assert not (tmp_path / "b").exists()


def test_of_no_store_there_is_no_backup(tmp_path: Path):
    with pytest.raises(StoreFault, match="holds no store"):
        backup.create(tmp_path / "absent", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_what_lies_beside_it_comes_along(tmp_path: Path):
    fill(tmp_path / "a")
    for name, value in (("a", "then"), ("b", "now")):
        (tmp_path / name).mkdir(exist_ok=True)
        with closing(sqlite3.connect(tmp_path / name / "other.db")) as connection:
            connection.execute("CREATE TABLE t (x)")
            connection.execute("INSERT INTO t VALUES (?)", (value,))
            connection.commit()
    backup.create(tmp_path / "a", tmp_path / "file", ["other.db", "absent.db"])
    backup.restore(tmp_path / "file", tmp_path / "b", force=False, wall=0.0)
    assert loaded(tmp_path / "b") == loaded(tmp_path / "a")
    found = {}
    for path in (tmp_path / "b").glob("other.db*"):
        with closing(sqlite3.connect(path)) as connection:
            found[path.name] = connection.execute("SELECT x FROM t").fetchall()
    assert found == {"other.db": [("then",)], "other.db.replaced-19700101-000000": [("now",)]}
    assert inspect.check(tmp_path / "b") == []
