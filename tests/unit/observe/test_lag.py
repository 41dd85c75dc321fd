import asyncio
import time

import pytest

from rookery.engine.stats import Stats
from rookery.observe.lag import WINDOW_SECONDS, LagProbe


def test_a_blocked_loop_is_seen_while_measuring() -> None:
    async def work() -> None:
        stats = Stats(0.0)
        probe = LagProbe(stats, interval_seconds=0.001)
        probe.start()
        rung = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.05, rung.set_result, None)
        time.sleep(0.1)  # What the probe is there to see.
        await rung
        probe.stop()
        assert probe.worst_seconds() >= 0.09
        assert stats.loop_lag_seconds_max == probe.worst_seconds()
        assert stats.loop_lag_seconds <= stats.loop_lag_seconds_max

    asyncio.run(work())


def test_it_goes_on_measuring_until_it_is_stopped() -> None:
    async def work() -> None:
        probe = LagProbe(Stats(0.0), interval_seconds=0.001)
        enough = asyncio.Event()
        noted: list[float] = []

        def note(lag_seconds: float, now: float) -> None:
            noted.append(lag_seconds)
            if len(noted) == 3:
                enough.set()

        probe.note = note  # type: ignore[method-assign]
        probe.start()
        await enough.wait()
        probe.stop()
        probe.stop()
        silent = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, silent.set_result, None)
        await silent
        assert len(noted) == 3
        assert min(noted) >= 0.0

    asyncio.run(work())


def test_the_worst_stays_for_one_to_two_windows() -> None:
    stats = Stats(0.0)
    probe = LagProbe(stats)
    probe.note(0.5, now=1.0)
    probe.note(0.1, now=2.0)
    assert (stats.loop_lag_seconds, stats.loop_lag_seconds_max) == (0.1, 0.5)
    assert probe.worst_seconds() == 0.5
    probe.note(0.2, now=1.0 + WINDOW_SECONDS)
    assert probe.worst_seconds() == 0.5
    probe.note(0.1, now=1.0 + 2 * WINDOW_SECONDS)
    assert probe.worst_seconds() == pytest.approx(0.2)
    probe.note(0.0, now=1.0 + 3 * WINDOW_SECONDS)
    assert probe.worst_seconds() == pytest.approx(0.1)
    assert stats.loop_lag_seconds_max == 0.5


def test_reading_takes_nothing_from_the_next_reader() -> None:
    probe = LagProbe(Stats(0.0))
    probe.note(0.5, now=1.0)
    assert probe.worst_seconds() == probe.worst_seconds() == 0.5
