"""What every store keeps to, on each of them: the port ``rookery.ports.Store`` says it in words."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rookery.ports import Store
from rookery.records import (
    ENTRIES_PER_BLOCK_MAX,
    Loaded,
    OutboundRow,
    ProgressRow,
    SubscriptionRow,
    position_of,
)
from tests.support.stores import (
    Reopener,
    commit,
    contents,
    group,
    opened,
    read,
    session,
    subscription,
)

TEXTS = ["a/b", "é\U0001f600", 'quote " and \\ and \x01\x7f', "\ufffe/$x", "x" * 40_000]


REPLICATED = ["replicated", "replicated-wiped", "replicated-torn", "replicated-older"]


@pytest.fixture(params=["memory", "fsync", "os", *REPLICATED])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Reopener:
    return Reopener(request.param, tmp_path / "data")


def run(stores: Reopener, work: Callable[[Store], Awaitable[object]]) -> Loaded:
    """Do some work on an open store, close it, and open it again: what is there then."""

    async def both() -> Loaded:
        store = stores.store()
        await store.open()
        try:
            await work(store)
        finally:
            await store.close()
        return await opened(stores.store)

    return asyncio.run(both())


def full_group(block: int = 1, number: int = 1):
    return group(
        block,
        b"first",
        b"",
        sessions={number: session(number, "c", b"\x00will\xff")},
        subscriptions={(number, "a/#"): subscription(number, "a/#", position_of(block, 1))},
        progress={number: ProgressRow(number, position_of(block, 0), 7, [9, 11])},
        inbound={(number, 5): True},
        outbound={(number, 6): OutboundRow(number, 6, position_of(block, 1), False)},
        retained={"t": position_of(block, 0)},
        facts={"a/b": b"\x00\xff"},
    )


def test_a_new_one_is_empty(stores: Reopener):
    loaded = asyncio.run(opened(stores.store))
    assert not any(contents(loaded).values())
    assert (loaded.next_block, loaded.next_number) == (1, 1)


def test_the_durability_is_told(stores: Reopener):
    assert stores.store().durability == stores.kind


def test_everything_committed_is_loaded_again(stores: Reopener):
    async def work(store: Store) -> None:
        assert await commit(store, full_group()) is None
        assert store.problems() == []
        assert not store.full()
        assert store.bytes_used() > 0

    loaded = run(stores, work)
    assert contents(loaded) == {
        "sessions": [(1, "c", 60, -1.0, b"\x00will\xff", 3)],
        "subscriptions": [(1, "a/#", 1, False, True, 7, position_of(1, 1))],
        "progress": [(1, position_of(1, 0), 7, (9, 11))],
        "inbound": [(1, 5)],
        "outbound": [(1, 6, position_of(1, 1), False)],
        "retained": [("t", position_of(1, 0))],
        "facts": [("a/b", b"\x00\xff")],
        "blocks": [1],
    }
    assert (loaded.next_block, loaded.next_number) == (2, 2)


def test_flags_and_times_come_back_as_what_they_were(stores: Reopener):
    async def work(store: Store) -> None:
        await commit(store, full_group())

    loaded = run(stores, work)
    (row,) = loaded.subscriptions
    assert (row.no_local, row.retain_as_published) == (False, True)
    assert loaded.sessions[0].detached_at_wall is None
    assert loaded.outbound[0].released is False


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_texts_come_back_as_they_were(stores: Reopener, text: str):
    async def work(store: Store) -> None:
        made = group(
            1,
            b"x",
            sessions={1: session(1, text)},
            subscriptions={(1, text): subscription(1, text)},
            retained={text: position_of(1, 0)},
            facts={text: text.encode()},
        )
        assert await commit(store, made) is None

    loaded = run(stores, work)
    assert loaded.sessions[0].client_id == text
    assert loaded.subscriptions[0].topic_filter == text
    assert loaded.retained == [(text, position_of(1, 0))]
    assert loaded.facts == {text: text.encode()}


def test_removing_a_session_removes_all_its_rows(stores: Reopener):
    async def work(store: Store) -> None:
        await commit(store, full_group(1, 1))
        await commit(store, full_group(2, 2))
        # Rows of the same group do not outlive it either.
        gone = group(3, sessions={2: None}, progress={2: ProgressRow(2, 1, 1, [])})
        gone.subscriptions[2, "b"] = subscription(2, "b")
        assert await commit(store, gone) is None

    loaded = run(stores, work)
    found = contents(loaded)
    assert [row[0] for row in found["sessions"]] == [1]
    for kind in ("subscriptions", "progress", "inbound", "outbound"):
        assert [row[0] for row in found[kind]] == [1], kind
    assert loaded.next_number == 3


def test_single_rows_are_removed(stores: Reopener):
    async def work(store: Store) -> None:
        await commit(store, full_group(1, 1))
        await commit(store, full_group(2, 2))
        removal = group(
            3,
            subscriptions={(1, "a/#"): None},
            inbound={(1, 5): False},
            outbound={(1, 6): None},
            retained={"t": None},
            facts={"a/b": None},
        )
        assert await commit(store, removal) is None

    found = contents(run(stores, work))
    assert [row[0] for row in found["sessions"]] == [1, 2]
    for kind in ("subscriptions", "inbound", "outbound"):
        assert [row[0] for row in found[kind]] == [2], kind
    assert found["retained"] == found["facts"] == []


def test_what_is_not_there_can_be_removed(stores: Reopener):
    async def work(store: Store) -> None:
        removal = group(1, sessions={9: None}, retained={"no": None}, facts={"no": None})
        removal.finished_blocks = [4]
        removal.subscriptions[9, "x"] = None
        assert await commit(store, removal) is None

    assert not any(contents(run(stores, work)).values())


def test_a_delivery_apart_from_the_cursor_is_told_from_others(stores: Reopener):
    states = {6: (False, False), 7: (True, False), 8: (False, True)}

    async def work(store: Store) -> None:
        rows = {(1, key): OutboundRow(1, key, 9, *state) for key, state in states.items()}
        assert await commit(store, group(1, sessions={1: session(1)}, outbound=rows)) is None

    loaded = run(stores, work)
    assert {row.packet_id: (row.released, row.apart) for row in loaded.outbound} == states


def test_the_last_state_wins(stores: Reopener):
    async def work(store: Store) -> None:
        await commit(store, full_group())
        changed = group(
            2,
            b"second",
            sessions={1: session(1, "other")},
            subscriptions={(1, "a/#"): SubscriptionRow(1, "a/#", 2, True, False, 0, 1)},
            progress={1: ProgressRow(1, position_of(2, 0), 8, [])},
            inbound={(1, 5): True},
            outbound={(1, 6): OutboundRow(1, 6, 0, True)},
            retained={"t": position_of(2, 0)},
            facts={"a/b": b""},
        )
        assert await commit(store, changed) is None

    assert contents(run(stores, work)) == {
        "sessions": [(1, "other", 60, 12.5, b"", 3)],
        "subscriptions": [(1, "a/#", 2, True, False, 0, 1)],
        "progress": [(1, position_of(2, 0), 8, ())],
        "inbound": [(1, 5)],
        "outbound": [(1, 6, 0, True)],
        "retained": [("t", position_of(2, 0))],
        "facts": [("a/b", b"")],
        "blocks": [1, 2],
    }


def test_done_is_called_in_the_order_of_the_commits(stores: Reopener):
    async def work(store: Store) -> None:
        order: list[int] = []
        last = asyncio.get_running_loop().create_future()
        for number in range(1, 30):
            made = group(number, b"x" * number) if number % 3 else group(number)
            store.commit(made, lambda error, number=number: order.append(number))
        store.commit(group(30), last.set_result)
        await last
        assert order == list(range(1, 30))

    run(stores, work)


def test_close_finishes_what_was_begun(stores: Reopener):
    async def work(store: Store) -> None:
        for block in range(1, 20):
            store.commit(group(block, b"x"), lambda error: None)

    assert run(stores, work).blocks == list(range(1, 20))


def test_entries_are_read_before_and_after_opening_again(stores: Reopener):
    # A block that is too large to be read whole.
    large = [bytes([index]) * 3000 for index in range(ENTRIES_PER_BLOCK_MAX)]
    last = len(large) - 1
    wanted = [position_of(1, 1), position_of(1, 0), position_of(2, last), position_of(2, 0)]
    missing = [position_of(1, 2), position_of(2, last + 1), position_of(4, 0), 0]
    expected = [b"", b"first", large[last], large[0], None, None, None, None]

    async def both() -> None:
        store = stores.store()
        await store.open()
        await commit(store, full_group(1))
        await commit(store, group(2, *large))
        assert await read(store, *wanted, *missing) == expected
        assert await read(store) == []
        await store.close()
        store = stores.store()
        await store.open()
        assert await read(store, *wanted, *missing) == expected
        assert await store.read_blocks([2, 7, 1]) == [large, [], [b"first", b""]]
        assert store.problems() == []
        await store.close()

    asyncio.run(both())


def test_many_positions_of_many_blocks_come_in_their_order(stores: Reopener):
    async def work(store: Store) -> None:
        for block in range(1, 101):
            store.commit(group(block, b"%d/0" % block, b"%d/1" % block), lambda error: None)
        await commit(store, group(101))
        wanted = [(block, block % 2) for block in range(100, 0, -1)]
        found = await read(store, *(position_of(*each) for each in wanted))
        assert found == [b"%d/%d" % each for each in wanted]

    run(stores, work)


def test_many_entries_of_one_group_are_blocks_one_after_the_other(stores: Reopener):
    entries = [b"%d" % index for index in range(3 * ENTRIES_PER_BLOCK_MAX - 1)]

    async def work(store: Store) -> None:
        await commit(store, group(5, *entries))
        positions = [position_of(5, index) for index in range(len(entries))]
        assert await read(store, *positions) == entries
        await commit(store, group(8, finished_blocks=[6]))
        found = await store.read_blocks([7, 6, 5])
        size = ENTRIES_PER_BLOCK_MAX
        assert found == [entries[2 * size :], [], entries[:size]]

    loaded = run(stores, work)
    assert (loaded.blocks, loaded.next_block) == ([5, 7], 8)


class TestTrimming:
    """Of a block that is trimmed the positions named are left, where they were."""

    ENTRIES = tuple(b"%d" % index for index in range(8))

    def test_the_others_are_gone(self, stores: Reopener):
        async def work(store: Store) -> None:
            await commit(store, group(1, *self.ENTRIES))
            await commit(store, group(2, *self.ENTRIES))
            used = store.bytes_used()
            kept = [position_of(1, 2), position_of(1, 6)]
            assert await commit(store, group(3, trimmed={1: kept})) is None
            positions = [position_of(1, index) for index in range(9)]
            gone = [None] * 9
            assert await read(store, *positions) == [*gone[:2], b"2", *gone[:3], b"6", *gone[:2]]
            assert await read(store, position_of(2, 3)) == [b"3"]
            if stores.kind == "memory":
                assert store.bytes_used() == used - 6

        loaded = run(stores, work)
        assert (loaded.blocks, loaded.next_block) == ([1, 2], 3)
        assert asyncio.run(whole(stores, [1, 2])) == [
            [b"", b"", b"2", b"", b"", b"", b"6"],
            list(self.ENTRIES),
        ]

    def test_a_block_is_trimmed_again_and_then_finished(self, stores: Reopener):
        async def work(store: Store) -> None:
            for block in (1, 2, 3):
                await commit(store, group(block, *self.ENTRIES))
            ends = {block: [position_of(block, 0), position_of(block, 7)] for block in (1, 2, 3)}
            await commit(store, group(4, trimmed=ends))
            await commit(store, group(4, trimmed={2: [position_of(2, 7)]}))
            found = await read(store, *(each for pair in ends.values() for each in pair))
            assert found == [b"0", b"7", None, b"7", b"0", b"7"]
            await commit(store, group(4, finished_blocks=[1, 2]))
            found = await read(store, *(each for pair in ends.values() for each in pair))
            assert found == [None, None, None, None, b"0", b"7"]

        loaded = run(stores, work)
        assert (loaded.blocks, loaded.next_block) == ([3], 4)

    def test_one_that_is_finished_at_the_same_time_is_gone(self, stores: Reopener):
        async def work(store: Store) -> None:
            await commit(store, group(1, *self.ENTRIES))
            made = group(2, trimmed={1: [position_of(1, 3)]}, finished_blocks=[1])
            assert await commit(store, made) is None

        assert run(stores, work).blocks == []

    def test_what_is_not_there_can_be_trimmed(self, stores: Reopener):
        async def work(store: Store) -> None:
            await commit(store, group(1, *self.ENTRIES))
            made = group(2, trimmed={1: [position_of(1, 60)], 7: [position_of(7, 1)]})
            assert await commit(store, made) is None

        assert run(stores, work).blocks == []


async def whole(stores: Reopener, blocks: list[int]) -> list[list[bytes | None]]:
    store = stores.store()
    await store.open()
    try:
        return await store.read_blocks(blocks)
    finally:
        await store.close()


def test_finished_blocks_are_gone_and_their_numbers_are_not_used_again(stores: Reopener):
    async def work(store: Store) -> None:
        for block in (1, 2, 3):
            await commit(store, full_group(block, block))
        gone = group(4, sessions={3: None, 2: None}, finished_blocks=[2, 3], retained={"t": None})
        assert await commit(store, gone) is None
        assert await read(store, position_of(1, 0), position_of(3, 0)) == [b"first", None]

    loaded = run(stores, work)
    assert loaded.blocks == [1]
    assert (loaded.next_block, loaded.next_number) == (4, 4)
    again = asyncio.run(opened(stores.store))
    assert (again.next_block, again.next_number) == (4, 4)


def test_of_a_group_that_fails_nothing_is_there(stores: Reopener):
    if stores.kind == "memory":
        pytest.skip("a store in memory has nothing that could fail: NOT CHECKED")

    async def work(store: Store) -> None:
        await commit(store, full_group(1, 1))
        error = await commit(store, full_group(1, 2))  # The block is there already.
        assert error is not None
        assert "UNIQUE" in str(error)
        assert store.problems() == [str(error)]
        assert await commit(store, full_group(2, 3)) is None
        assert store.problems() == []

    loaded = run(stores, work)
    assert [row.number for row in loaded.sessions] == [1, 3]
    assert loaded.blocks == [1, 2]
