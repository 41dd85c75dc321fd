import asyncio
import sqlite3
from pathlib import Path

import pytest

from rookery.message import node_message
from rookery.records import ProgressRow, encode_message, position_of
from rookery.store import inspect
from rookery.store.faults import StoreFault
from tests.support.stores import commit, group, session, sqlite_store, subscription


def entry(topic: str, payload: bytes) -> bytes:
    return encode_message(node_message(topic, payload, True, 0.0), 0.0, ())


def fill(directory: Path) -> None:
    """Two sessions, four messages in two blocks, two retained."""

    async def put() -> None:
        store = sqlite_store(directory)
        await store.open()
        will = entry("w", b"bye")
        first = group(
            1,
            entry("t/1", "é".encode()),
            entry("t/2", b"\xff"),
            sessions={1: session(1, "b", will), 2: session(2, "a")},
            subscriptions={(1, "x/#"): subscription(1, "x/#")},
            progress={
                1: ProgressRow(1, position_of(1, 1), 0, []),
                2: ProgressRow(2, position_of(2, 0), 0, []),
            },
            retained={"t/1": position_of(1, 0), "t/2": position_of(1, 1)},
            facts={"a": b"\x01"},
        )
        await commit(store, first)
        await commit(store, group(2, entry("u", b""), entry("u", b"")))
        await store.close()

    asyncio.run(put())


def test_the_counts(tmp_path: Path):
    fill(tmp_path)
    found = inspect.stats(tmp_path)
    assert (found.blocks, found.messages, found.retained) == (2, 4, 2)
    assert (found.sessions, found.subscriptions) == (2, 1)
    assert found.owed == 3 + 2
    assert found.facts == 1
    assert found.alive_at_wall == 1_800_000_000.0
    assert 0 < found.live_bytes <= found.file_bytes


def trim(directory: Path) -> None:
    """Let go of the first entry of either block."""

    async def put() -> None:
        store = sqlite_store(directory)
        await store.open()
        kept = {block: [position_of(block, 1)] for block in (1, 2)}
        await commit(store, group(3, trimmed=kept, retained={"t/1": None}))
        await store.close()

    asyncio.run(put())


def test_what_is_left_of_trimmed_blocks_counts(tmp_path: Path):
    fill(tmp_path)
    trim(tmp_path)
    found = inspect.stats(tmp_path)
    assert (found.blocks, found.messages, found.kept, found.retained) == (0, 2, 2, 1)
    assert found.owed == 2 + 1
    assert inspect.check(tmp_path) == []
    (exported,) = inspect.export_retained(tmp_path)
    assert (exported["topic"], exported["payload_base64"]) == ("t/2", "/w==")


def test_damage_to_what_is_left_is_told(tmp_path: Path):
    fill(tmp_path)
    trim(tmp_path)
    connection = sqlite3.connect(tmp_path / "rookery.db")
    with connection:
        connection.execute("UPDATE kept SET data = x'0011223344'")
    connection.close()
    assert inspect.check(tmp_path) == [
        f"message {position_of(block, 1)}: it is damaged" for block in (1, 2)
    ]
    assert [row["damaged"] for row in inspect.export_retained(tmp_path)] == [True]


def test_a_running_store_is_counted_too(tmp_path: Path):
    async def work() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        await commit(store, group(1, b"x"))
        assert inspect.stats(tmp_path).messages == 1
        await store.close()

    asyncio.run(work())


def test_retained_messages_are_exported(tmp_path: Path):
    fill(tmp_path)
    first, second = inspect.export_retained(tmp_path)
    assert (first["topic"], first["payload"], first["retain"]) == ("t/1", "é", True)
    assert (second["topic"], second["payload_base64"]) == ("t/2", "/w==")


def test_sessions_are_exported_with_subscriptions_and_will(tmp_path: Path):
    fill(tmp_path)
    first, second = inspect.export_sessions(tmp_path)
    assert (first["client_id"], first["will"], first["subscriptions"]) == ("a", None, [])
    assert (second["client_id"], second["detached_at"]) == ("b", None)
    assert second["will"]["payload"] == "bye"
    assert second["will"]["delay_seconds"] == 3
    (granted,) = second["subscriptions"]
    assert (granted["topic_filter"], granted["qos_max"], granted["identifier"]) == ("x/#", 1, 7)


def test_nothing_is_damaged(tmp_path: Path):
    fill(tmp_path)
    assert inspect.check(tmp_path) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE progress SET done = 'x' WHERE number = 2", "progress 2: Expecting value"),
        (
            "UPDATE log SET data = substr(data, 1, length(data) - 1) WHERE block = 2",
            "block 2: 1 of 2",
        ),
        ("UPDATE log SET data = x'00' WHERE block = 2", "block 2: its directory is damaged"),
        (
            "UPDATE retained SET position = 9437184 WHERE topic = 't/2'",
            "retained 't/2': its message",
        ),
    ],
)
def test_each_damage_is_told(tmp_path: Path, statement: str, told: str):
    fill(tmp_path)
    connection = sqlite3.connect(tmp_path / "rookery.db")
    with connection:
        connection.execute(statement)
    connection.close()
    (found,) = inspect.check(tmp_path)
    assert found.startswith(told)


def test_damaged_messages_are_exported_as_that(tmp_path: Path):
    fill(tmp_path)
    connection = sqlite3.connect(tmp_path / "rookery.db")
    with connection:
        connection.execute("DELETE FROM log WHERE block = 1")
    connection.close()
    assert [row["damaged"] for row in inspect.export_retained(tmp_path)] == [True, True]


def test_where_no_store_is(tmp_path: Path):
    with pytest.raises(StoreFault, match="holds no store"):
        inspect.stats(tmp_path)
    with pytest.raises(StoreFault, match="holds no store"):
        list(inspect.export_sessions(tmp_path / "absent"))


def test_a_file_that_is_no_database(tmp_path: Path):
    (tmp_path / "rookery.db").write_bytes(b"no database at all" * 300)
    (told,) = inspect.check(tmp_path)
    assert "is damaged" in told
    with pytest.raises(StoreFault, match="is damaged"):
        inspect.stats(tmp_path)
