import asyncio

from rookery.records import Group, position_of
from rookery.store.memory import MemoryStore


def test_a_commit_is_done_at_once_and_in_order():
    store = MemoryStore()
    done: list[tuple[str, Exception | None]] = []
    store.commit(Group(1), lambda error: done.append(("first", error)))
    store.commit(Group(2), lambda error: done.append(("second", error)))
    assert done == [("first", None), ("second", None)]


def test_it_promises_no_more_than_it_keeps():
    assert MemoryStore().durability == "memory"


def test_its_bytes_are_those_of_the_entries():
    store = MemoryStore()
    group = Group(1)
    group.entries, group.entry_bytes = [b"abc", b"de"], 5
    store.commit(group, lambda error: None)
    assert store.bytes_used() == 5
    found: list[object] = []
    store.read([position_of(1, 1), position_of(1, 2)], found.append)
    assert found == [[b"de", None]]
    last = Group(2)
    last.finished_blocks = [1]
    store.commit(last, lambda error: None)
    assert store.bytes_used() == 0
    assert store.problems() == []


def test_there_is_nothing_to_close():
    asyncio.run(MemoryStore().close())
