"""Damaged files: the node starts, sets them aside and saves what can be read."""

import asyncio
import os
import random
import sqlite3
from pathlib import Path

import pytest

from rookery.records import ProgressRow, position_of
from rookery.store.rebuild import finish_rename, free_name
from tests.support.stores import (
    commit,
    contents,
    copy_files,
    group,
    opened,
    read,
    session,
    sqlite_store,
    subscription,
)

PAGE = 4096


def full(directory: Path, sessions: int = 200, blocks: int = 50) -> dict:
    async def put() -> None:
        store = sqlite_store(directory)
        await store.open()
        made = group(1, b"x" * 100, retained={"t": position_of(1, 0)})
        for number in range(1, sessions + 1):
            made.sessions[number] = session(number, f"client-{number}")
            made.subscriptions[number, "a/#"] = subscription(number, "a/#")
            made.progress[number] = ProgressRow(number, position_of(1, 0), 0, [])
        await commit(store, made)
        for block in range(2, blocks + 1):
            made = group(block, b"%d" % block * 1000, retained={f"t{block}": position_of(block, 0)})
            await commit(store, made)
        await store.close()

    asyncio.run(put())
    return contents(asyncio.run(opened(lambda: sqlite_store(directory))))


def start(directory: Path) -> tuple[dict, list[str], int]:
    """What a node finds, and what it is told."""

    async def begin():
        store = sqlite_store(directory)
        loaded = await store.open()
        problems = store.problems()
        # It works as any other does.
        assert await commit(store, group(loaded.next_block, b"new")) is None
        assert await read(store, position_of(loaded.next_block, 0)) == [b"new"]
        for entries in await store.read_blocks(loaded.blocks):
            assert entries
        await store.close()
        return contents(loaded), problems, loaded.next_block

    return asyncio.run(begin())


def broken_files(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.glob("*.broken-*") if each.suffix[-4] != "-")


def test_a_file_of_something_else_is_set_aside_under_a_dated_name(tmp_path: Path):
    (tmp_path / "rookery.db").write_bytes(b"what is this?" * 1000)
    found, (problem,), _ = start(tmp_path)
    assert not any(found.values())
    assert (tmp_path / "rookery.db.broken-20270115-080000").read_bytes()[:4] == b"what"
    assert f"{tmp_path}/rookery.db was damaged" in problem
    assert f"{tmp_path}/rookery.db.broken-20270115-080000" in problem
    assert "saved: nothing; lost: the whole file" in problem


def test_a_bad_header_does_not_stop_the_node(tmp_path: Path):
    full(tmp_path)
    with (tmp_path / "rookery.db").open("r+b") as file:
        file.write(bytes(100))
    _, (problem,), _ = start(tmp_path)
    assert "was damaged" in problem
    assert broken_files(tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_a_page_that_is_lost_costs_no_more_than_itself(tmp_path: Path, seed: int):
    before = full(tmp_path)
    path = tmp_path / "rookery.db"
    page = random.Random(seed).randrange(11, path.stat().st_size // PAGE)
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(random.Random(seed).randbytes(PAGE))
    found, problems, next_block = start(tmp_path)
    # A page may have been one that nobody uses, or hold a piece of a message: then the check sums tell.
    kept = sum(len(rows) for rows in found.values())
    total = sum(len(rows) for rows in before.values())
    assert kept >= total * 0.4, (page, problems)
    for kind, rows in found.items():
        if kind != "blocks":
            assert set(map(repr, rows)) <= set(map(repr, before[kind])), kind
    assert next_block == 51
    assert bool(problems) == bool(broken_files(tmp_path))


def test_a_file_that_was_cut_short(tmp_path: Path):
    full(tmp_path)
    path = tmp_path / "rookery.db"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - PAGE)
    found, (problem,), next_block = start(tmp_path)
    assert len(found["sessions"]) == 200
    assert len(found["blocks"]) >= 48
    assert next_block == 51
    assert "200 sessions, 200 subscriptions" in problem


def test_a_row_that_cannot_be_decoded(tmp_path: Path):
    full(tmp_path)
    connection = sqlite3.connect(tmp_path / "rookery.db")
    connection.execute("UPDATE progress SET done = '[oops' WHERE number = 7")
    connection.execute("INSERT INTO facts VALUES ('a', '00'), ('b', 'oops')")
    connection.commit()
    connection.close()
    found, (problem,), _ = start(tmp_path)
    assert len(found["progress"]) == 199
    assert len(found["sessions"]) == 200
    assert "lost: progress 7: Expecting value" in problem
    assert found["facts"] == [("a", b"\x00")]
    assert "facts 'b': non-hexadecimal" in problem


def test_what_is_left_of_trimmed_blocks_is_saved(tmp_path: Path):
    async def put() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        for block in range(1, 31):
            retained = {f"t{block}": position_of(block, 1), "t": position_of(block, 2)}
            await commit(store, group(block, *[b"%d" % block * 100] * 3, retained=retained))
        ends = {block: [position_of(block, 1), position_of(block, 2)] for block in range(2, 31)}
        await commit(store, group(31, trimmed=ends))
        await store.close()

    asyncio.run(put())
    connection = sqlite3.connect(tmp_path / "rookery.db")
    with connection:
        connection.execute("UPDATE progress SET done = done")
        connection.execute("INSERT INTO progress VALUES (7, 0, 0, '[oops')")
        connection.execute("UPDATE kept SET data = x'00' WHERE position = ?", [position_of(9, 2)])
    connection.close()
    found, (problem,), next_block = start(tmp_path)
    assert found["blocks"] == list(range(1, 31))
    assert len(found["retained"]) == 31
    assert next_block == 31
    assert "1 blocks, 58 single messages" in problem
    assert f"kept {position_of(9, 2)}: its message" in problem


def test_the_end_of_the_log_that_is_torn_takes_nothing_before_it(tmp_path: Path):
    """What SQLite has not synced may be torn by a power cut; what it has is found."""

    async def put() -> None:
        store = sqlite_store(tmp_path / "a")
        await store.open()
        for block in range(1, 11):
            await commit(store, group(block, b"x" * 5000))
            # Before the next commit begins, all up to here is what was promised.
            copy_files(tmp_path / "a", tmp_path / f"after-{block}")
        await store.close()

    asyncio.run(put())
    for block in range(2, 11):
        promised = (tmp_path / f"after-{block - 1}" / "rookery.db-wal").read_bytes()
        whole = (tmp_path / f"after-{block}" / "rookery.db-wal").read_bytes()
        for size in range(len(promised), len(whole) + 1, 997):
            wal = tmp_path / f"after-{block}" / "rookery.db-wal"
            torn = whole[:size] + b"\xaa" * min(512, len(whole) - size)
            directory = tmp_path / f"torn-{block}-{size}"
            copy_files(tmp_path / f"after-{block}", directory)
            (directory / wal.name).write_bytes(torn)
            loaded = asyncio.run(opened(lambda directory=directory: sqlite_store(directory)))
            assert loaded.blocks in (list(range(1, block)), list(range(1, block + 1)))
            assert not broken_files(directory)


class TestNames:
    def test_no_name_is_taken_twice(self, tmp_path: Path):
        path = tmp_path / "rookery.db"
        first = free_name(path, ".broken-", 0.0)
        assert first.name == "rookery.db.broken-19700101-000000"
        first.touch()
        assert free_name(path, ".broken-", 0.0).name == "rookery.db.broken-19700101-000000-2"

    def test_a_new_file_that_was_complete_is_taken(self, tmp_path: Path):
        (tmp_path / "rookery.db.broken-1").write_text("old")
        (tmp_path / "rookery.db-wal").write_text("the old one's")
        (tmp_path / "rookery.db.new").write_text("new")
        finish_rename(tmp_path)
        assert (tmp_path / "rookery.db").read_text() == "new"
        assert (tmp_path / "rookery.db.broken-1-wal").read_text() == "the old one's"
        assert not (tmp_path / "rookery.db-wal").exists()

    @pytest.mark.parametrize("word", ["broken", "replaced"])
    def test_a_log_that_was_left_behind_follows_the_file_set_aside_last(
        self, tmp_path: Path, word: str
    ):
        for name in ("broken-1", "replaced-1", f"{word}-2"):
            (tmp_path / f"rookery.db.{name}").write_text("old")
            os.utime(tmp_path / f"rookery.db.{name}")
        for suffix in ("-wal", "-journal"):
            (tmp_path / f"rookery.db{suffix}").write_text("the last one's")
        (tmp_path / "rookery.db.new").write_text("new")
        finish_rename(tmp_path)
        assert (tmp_path / f"rookery.db.{word}-2-wal").read_text() == "the last one's"
        assert (tmp_path / f"rookery.db.{word}-2-journal").read_text() == "the last one's"
        assert (tmp_path / "rookery.db").read_text() == "new"

    def test_a_new_file_beside_the_old_one_was_not_complete(self, tmp_path: Path):
        (tmp_path / "rookery.db").write_text("old")
        (tmp_path / "rookery.db.new").write_text("half")
        finish_rename(tmp_path)
        assert (tmp_path / "rookery.db").read_text() == "old"
        assert not (tmp_path / "rookery.db.new").exists()
