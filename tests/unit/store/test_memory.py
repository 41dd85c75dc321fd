import asyncio

from rookery.ports import SessionRecord, Store
from rookery.store.memory import MemoryStore


def test_a_commit_is_done_at_once_and_in_order():
    store: Store = MemoryStore()
    done: list[tuple[str, Exception | None]] = []
    store.commit([SessionRecord("a", 1)], lambda error: done.append(("first", error)))
    store.commit([], lambda error: done.append(("second", error)))
    assert done == [("first", None), ("second", None)]


def test_it_promises_no_more_than_it_keeps():
    assert MemoryStore().durability == "memory"


def test_there_is_nothing_to_close():
    store = MemoryStore()
    asyncio.run(store.close())
    asyncio.run(store.close())
