import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rookery.auth.hashes import StoredPassword
from rookery.auth.verifier import NICENESS, VerifiedCache, Verifier
from rookery.mqtt.types import ReasonCode
from rookery.ports import Refused
from tests.support.passwords import FakeClock, GatedPassword, cheap, settled


@contextmanager
def verifier(clock: FakeClock | None = None, **settings: Any) -> Iterator[Verifier]:
    made = Verifier(clock or FakeClock(), **settings)
    try:
        yield made
    finally:
        made.close()


def run(work: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(work())


def test_cheap_hashes_are_decided_without_waiting():
    with verifier() as subject:
        assert subject.compare("ann", b"right", cheap("right")) is True
        assert subject.compare("ann", b"wrong", cheap("right")) is False
        assert subject.pretend("eve", b"x") is None


def test_costly_ones_run_off_the_loop():
    async def work() -> None:
        stored = GatedPassword(threading.Event())
        assert stored.gate is not None
        with verifier() as subject:
            waiting = asyncio.gather(settled(subject.compare("ann", b"right", stored)))
            # The loop goes on while the comparison stands at its gate; only it opens the gate.
            asyncio.get_running_loop().call_soon(stored.gate.set)
            assert await waiting == [True]

    run(work)


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="no priorities")
def test_the_threads_stand_back():
    nice: list[int] = []

    class Asking(GatedPassword):
        def matches(self, password: bytes) -> bool:
            nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return True

    async def work() -> None:
        with verifier() as subject:
            await settled(subject.compare("ann", b"x", Asking()))

    run(work)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert nice == [max(own, NICENESS)]


def test_every_refusal_takes_the_work_of_the_costliest_of_all_sources():
    async def work() -> None:
        slow, slower = GatedPassword(work_ms=50), GatedPassword(work_ms=60)
        with verifier() as subject:
            subject.set_costliest("users", slow)
            subject.set_costliest("password_file", slower)
            working = subject.pretend("nobody", b"right")
            assert working is not None
            assert await working is False, "the decoy's password opens nobody's door"
            assert await settled(subject.compare("quick", b"wrong", cheap("x"))) is False
            assert subject.compare("quick", b"x", cheap("x")) is True
            assert slower.compared == [b"right", b"wrong"]
            subject.set_costliest("password_file", cheap("x"))
            assert await settled(subject.compare("quick", b"wrong", cheap("x"))) is False
            assert slow.compared == [b"wrong"]
            subject.set_costliest("users", None)
            assert subject.pretend("nobody", b"right") is None

    run(work)


def test_a_crowd_with_one_password_is_one_comparison():
    async def work() -> None:
        stored = GatedPassword(threading.Event())
        assert stored.gate is not None
        with verifier(waiting_max=1) as subject:
            waiting = asyncio.gather(
                *(settled(subject.compare("ann", b"right", stored)) for _ in range(100))
            )
            asyncio.get_running_loop().call_soon(stored.gate.set)
            assert await waiting == [True] * 100
            assert stored.compared == [b"right"]

    run(work)


def test_one_that_goes_away_does_not_take_the_others_comparison():
    async def work() -> None:
        stored = GatedPassword(threading.Event())
        assert stored.gate is not None
        with verifier() as subject:
            async with asyncio.TaskGroup() as group:
                first = group.create_task(settled(subject.compare("ann", b"right", stored)))
                second = group.create_task(settled(subject.compare("ann", b"right", stored)))
                await asyncio.sleep(0)
                first.cancel()
                stored.gate.set()
            assert first.cancelled()
            assert second.result() is True
            assert stored.compared == [b"right"]

    run(work)


def test_beyond_the_bound_the_server_is_busy_and_recovers():
    async def work() -> None:
        stored = GatedPassword(threading.Event())
        assert stored.gate is not None
        with verifier(waiting_max=2) as subject:
            waiting = asyncio.gather(
                *(settled(subject.compare("ann", b"%d" % n, stored)) for n in range(5))
            )
            asyncio.get_running_loop().call_soon(stored.gate.set)
            outcomes = await waiting
            assert outcomes[:2] == [False, False]
            for each in outcomes[2:]:
                assert isinstance(each, Refused)
                assert each.reason_code == ReasonCode.SERVER_BUSY
            assert await settled(subject.compare("ann", b"right", stored)) is True

    run(work)


def test_a_success_is_remembered_and_a_failure_is_not():
    async def work() -> None:
        stored = GatedPassword()
        with verifier(remember_seconds=60) as subject:
            assert await settled(subject.compare("ann", b"right", stored)) is True
            assert subject.compare("ann", b"right", stored) is True, "decided at once"
            for _ in range(2):
                assert await settled(subject.compare("ann", b"wrong", stored)) is False
            assert stored.compared == [b"right", b"wrong", b"wrong"]

    run(work)


def test_what_is_not_to_be_remembered_is_not():
    async def work() -> None:
        stored = GatedPassword()
        with verifier(remember_seconds=60) as subject:
            for _ in range(2):
                assert await settled(subject.compare("ann", b"right", stored, remember=False))
            assert stored.compared == [b"right", b"right"]

    run(work)


def test_another_stored_password_is_compared_anew():
    async def work() -> None:
        one, other = GatedPassword(), GatedPassword()
        other.text = "another notation"
        with verifier(remember_seconds=60) as subject:
            assert await settled(subject.compare("ann", b"right", one)) is True
            assert await settled(subject.compare("ann", b"right", other)) is True
            assert other.compared == [b"right"]

    run(work)


def key(cache: VerifiedCache, name: str, password: bytes = b"x") -> bytes:
    return cache.key(name, "stored", password)


def test_what_is_remembered_ends():
    clock = FakeClock()
    cache = VerifiedCache(clock, remember_seconds=10, entries_max=5)
    cache.add(key(cache, "ann"))
    clock.now += 9.9
    assert key(cache, "ann") in cache
    clock.now += 0.1
    assert key(cache, "ann") not in cache
    assert len(cache) == 0


def test_remembering_for_no_time_is_not_remembering():
    cache = VerifiedCache(FakeClock(), remember_seconds=0, entries_max=5)
    cache.add(key(cache, "ann"))
    assert len(cache) == 0


def test_a_full_table_forgets_its_oldest():
    cache = VerifiedCache(FakeClock(), remember_seconds=10, entries_max=2)
    one, two, three = (key(cache, name) for name in ("one", "two", "three"))
    for each in (one, two, one, three):
        cache.add(each)
    assert (one in cache, two in cache, three in cache) == (True, False, True)


def test_keys_tell_their_parts_apart_and_tell_nothing_else():
    cache = VerifiedCache(FakeClock(), 10, 5)
    parts = [("ab", "c", b"d"), ("a", "bc", b"d"), ("ab", "cd", b""), ("ab", "c", b"e")]
    assert len({cache.key(*each) for each in parts}) == 4
    assert cache.key(*parts[0]) == cache.key(*parts[0])
    assert cache.key(*parts[0]) != VerifiedCache(FakeClock(), 10, 5).key(*parts[0])


def test_stored_passwords_are_told_by_their_class():
    with pytest.raises(NotImplementedError):
        StoredPassword("none", "").matches(b"")
    with pytest.raises(NotImplementedError):
        StoredPassword("none", "").decoy()
