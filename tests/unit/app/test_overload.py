import asyncio

import pytest
from structlog.testing import capture_logs

from rookery.app import overload as module
from rookery.app.overload import GIVE_BACK_SECONDS, OverloadWatch, make_overload
from rookery.engine.overload import NORMAL, REFUSING
from rookery.observe.lag import LagProbe
from rookery.observe.memory import memory_bytes
from tests.support.engine import Engine, connect
from tests.support.node import config, dial, run

MIB = 2**20


def watching(**changed) -> tuple[OverloadWatch, Engine]:
    engine = Engine()
    settings = config(**{"overload.memory_bytes_max": 100 * MIB, "overload.sustained_seconds": 1})
    engine.broker.overload = make_overload(settings, engine.broker)
    return OverloadWatch(engine.broker, LagProbe(engine.stats)), engine


def look(watch: OverloadWatch, mib: float, lag_seconds: float, now: float) -> list[dict]:
    with capture_logs() as logs:
        asyncio.run(watch.look(mib * MIB, lag_seconds, now))
    return logs


def test_the_mark_is_what_the_machine_has_unless_one_is_told():
    engine = Engine()
    assert make_overload(config(), engine.broker).memory_bytes_max == memory_bytes() * 0.8
    told = make_overload(config(**{"overload.memory_bytes_max": 100 * MIB}), engine.broker)
    assert (told.memory_bytes_max, told.loop_lag_seconds_max) == (100 * MIB, 0.5)


def test_every_change_is_told_and_the_health_says_so():
    watch, _ = watching()
    assert watch.check() == (True, "normal")
    assert look(watch, 50, 0, 0.0) == []
    (line,) = look(watch, 95, 0, 1.0)
    assert (line["event"], line["level"]) == ("overload", "shedding")
    assert watch.check() == (True, "shedding: 95 MiB of memory, mark 100")
    (line,) = look(watch, 101, 0, 2.0)
    assert (line["level"], line["reason"]) == ("refusing", "101 MiB of memory, mark 100")
    assert watch.check() == (False, "refusing: 101 MiB of memory, mark 100")
    assert look(watch, 50, 0, 3.0) == []
    (line,) = look(watch, 50, 0, 4.0)
    assert line["event"] == "overload_over"
    assert watch.check() == (True, "normal")


def test_memory_is_given_back_now_and_then(monkeypatch: pytest.MonkeyPatch):
    given: list[int] = []
    monkeypatch.setattr(module, "give_back", lambda: given.append(1))
    watch, _ = watching()
    look(watch, 50, 0, 100.0)
    assert given == []
    for now in (101.0, 102.0, 101.0 + GIVE_BACK_SECONDS):
        look(watch, 101, 0, now)
    assert len(given) == 2


def test_a_node_over_its_mark_refuses_and_publishes_no_sys_messages():
    """A real one, with the least memory mark there is: it is over it from its first look."""

    async def work(node) -> None:
        broker = node.broker
        while broker.overload.level != REFUSING:
            await asyncio.sleep(0.01)
        client = await dial(node)
        assert await client.ask(connect("c")) == ["CONNACK 0x89"]
        await client.close()
        assert not node.health.ready().ok
        while not broker.stats.shed["sys_topics"]:
            await asyncio.sleep(0.01)
        broker.overload.memory_bytes_max = float("inf")
        while broker.overload.level != NORMAL:
            await asyncio.sleep(0.01)
        client = await dial(node)
        assert await client.ask(connect("c")) == ["CONNACK"]
        await client.close()
        assert node.health.ready().ok

    run(
        work,
        **{
            "overload.memory_bytes_max": 16_777_216,
            "overload.sustained_seconds": 0,
            "mqtt.sys_interval_seconds": 0.05,
        },
    )
