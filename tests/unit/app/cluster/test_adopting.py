import asyncio
from pathlib import Path
from typing import Any

import pytest

from rookery.app.cluster import adopting
from rookery.app.cluster.adopting import Adopter
from rookery.engine.peers.hub import Hub
from rookery.ports import LogUnavailable
from rookery.records import Group, SessionRow
from rookery.store.faults import StoreFault
from rookery.store.replicated import ReplicatedStore
from tests.support.cell_log import MemoryLog
from tests.support.engine import Engine
from tests.unit.app.cluster.test_runtime import record


class Membership:
    def __init__(self) -> None:
        self.adopted_cells: list[str] = []
        self.abandoned: list[str] = []

    async def adopted(self, cell: str) -> bool:
        self.adopted_cells.append(cell)
        return True

    def abandon(self, cell: str) -> None:
        self.abandoned.append(cell)


async def died(log: MemoryLog, directory: Path, engine: Engine) -> None:
    """A node that had one session, and died."""
    store = ReplicatedStore(directory, log, 1 << 40, engine.clock, "b", 1, lambda reason: None)
    await store.open()
    group = Group(1)
    group.sessions[1] = SessionRow(1, "client", 3_600, None, None, 0)
    done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    store.commit(group, done.set_result)
    assert await done is None
    await store.close()


def adopter_of(engine: Engine, log: Any, directory: Path, monkeypatch: Any) -> Adopter:
    monkeypatch.setattr(adopting, "JetStreamLog", lambda _jetstream, _cell: log)
    hub = Hub(engine.broker, "a")
    engine.broker.peers = hub
    nothing: Any = None
    adopter = Adopter(engine.broker, hub, nothing, directory, engine.clock)
    membership: Any = Membership()
    adopter.membership = membership
    return adopter


def test_a_dead_nodes_sessions_become_ours_and_its_log_is_sealed(tmp_path, monkeypatch):
    async def main() -> None:
        engine = Engine()
        log = MemoryLog()
        await died(log, tmp_path / "b", engine)
        adopter = adopter_of(engine, log, tmp_path, monkeypatch)
        adopter.begin(record("b", epoch=1, state="adopting"))
        membership: Any = adopter.membership
        while not membership.adopted_cells:
            await asyncio.sleep(0)
            engine.turn()
        assert engine.broker.registry.actors["client"].adopted_from == "b"
        assert engine.broker.peers is not None
        assert engine.broker.peers.departed.is_gone("b", 1)
        late = ReplicatedStore(tmp_path / "c", log, 1 << 40, engine.clock, "b", 1, print)
        with pytest.raises(StoreFault, match="another owner"):
            await late.open()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_cell_that_cannot_be_read_is_left_to_others(tmp_path, monkeypatch):
    class Silent(MemoryLog):
        async def snapshot(self) -> Any:
            raise LogUnavailable("no replica answers")

    async def main() -> None:
        engine = Engine()
        monkeypatch.setattr(adopting, "AGAIN_SECONDS", 0.0)
        adopter = adopter_of(engine, Silent(), tmp_path, monkeypatch)
        adopter.begin(record("b", epoch=1, state="adopting"))
        membership: Any = adopter.membership
        while not membership.abandoned:
            await asyncio.sleep(0)
            engine.settle()
        assert membership.adopted_cells == []
        assert engine.broker.registry.actors == {}

    asyncio.run(asyncio.wait_for(main(), 30))
