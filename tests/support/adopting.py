"""A node that dies, and another one that takes over its cell."""

import asyncio
from collections.abc import Callable

from rookery.engine.peers.adoption import Adoption, Summary
from tests.support.engine import Content, Engine, FakeClock, FakeStore

CELL = "a"
EPOCH = 7
STEPS_MAX = 200_000


class Killed(Exception):
    """The adopting node was stopped in the middle."""


def neighbour(
    dead: FakeStore, at_once: bool = True, after_seconds: float = 1.0, **changed
) -> Engine:
    """Another node, some time after the last moment of the one that died."""
    assert dead.clock is not None
    clock = FakeClock(now=90_000.0, wall=dead.clock.wall() + after_seconds)
    return Engine(FakeStore(at_once=at_once), clock=clock, **changed)


def survivor_of(store: FakeStore) -> FakeStore:
    """A store with what is durable in another one, which that one's node cannot change any more."""
    left = FakeStore(at_once=store.at_once)
    left.clock = store.clock
    left.content = copy_of(store.content)
    return left


def copy_of(content: Content) -> Content:
    """The same content, rows being values."""
    copy = Content()
    for name, value in vars(content).items():
        kind = type(value)
        setattr(copy, name, kind(value) if kind in {dict, set} else value)
    copy.blocks = {block: list(entries) for block, entries in content.blocks.items()}
    return copy


def adopt(
    engine: Engine,
    dead: FakeStore,
    cell: str = CELL,
    work_max: int = 3,
    meanwhile: Callable[[int], object] | None = None,
    reachable: Callable[[], None] | None = None,
    epoch: int = EPOCH,
    **bounds: int,
) -> Summary:
    """Adopt what is durable in a store; ``meanwhile`` is called after each turn with its number."""
    return asyncio.run(_adopt(engine, dead, cell, work_max, meanwhile, reachable, epoch, bounds))


async def _adopt(
    engine: Engine,
    dead: FakeStore,
    cell: str,
    work_max: int,
    meanwhile: Callable[[int], object] | None,
    reachable: Callable[[], None] | None,
    epoch: int,
    bounds: dict[str, int],
) -> Summary:
    adoption = Adoption(engine.broker, cell, epoch, await dead.open(), dead.read_blocks, reachable)
    adoption.slices.work_max = work_max
    for name, value in bounds.items():
        setattr(adoption.slices, name, value)
    task = asyncio.get_running_loop().create_task(adoption.run())
    store = engine.store
    assert isinstance(store, FakeStore)
    for step in range(STEPS_MAX):
        if task.done():
            engine.settle()
            engine.flush()
            return task.result()
        await asyncio.sleep(0)
        if engine.turn_requested:
            engine.turn()
        if store.waiting and step % 3 == 0:
            engine.complete()
        if meanwhile is not None:
            meanwhile(step)
    raise AssertionError("the adoption never ends")
