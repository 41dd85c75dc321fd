import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from rookery.actors.clock import SystemClock
from rookery.cluster import stream as module
from rookery.cluster.framing import Outgoing
from rookery.cluster.proto.cluster_pb2 import Beat, Frame
from rookery.cluster.stream import Stream
from rookery.cluster.wire import WireBroken
from tests.support.links import Told, run


class Pipe:
    """A wire whose other end is the test."""

    def __init__(self) -> None:
        self.arriving: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.written: asyncio.Queue[Frame] = asyncio.Queue()
        self.room = asyncio.Event()
        self.room.set()

    async def read(self) -> Frame:
        frame = await self.arriving.get()
        if frame is None:
            raise WireBroken("reset")
        return frame

    async def write(self, frame: Frame) -> None:
        await self.room.wait()
        self.written.put_nowait(frame)


class Made:
    def __init__(self, clock: Any = None) -> None:
        self.told, self.pipe = Told(), Pipe()
        self.ends: list[str] = []
        self.stream = Stream(
            "n2", "b1", 1, self.pipe, self.told, clock or SystemClock(), self._ended
        )
        self.told.links["n2"] = self.stream

    def _ended(self, stream: Stream, reason: str) -> None:
        self.ends.append(reason)


@asynccontextmanager
async def running(clock: Any = None) -> AsyncIterator[Made]:
    made = Made(clock)
    task = asyncio.create_task(made.stream.run())
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        made.stream.end("the test is over")
        await task


def data(*frames: bytes) -> Frame:
    outgoing = Outgoing()
    for frame in frames:
        outgoing.put(frame)
    return Frame(data=outgoing.take()[0])


def test_what_waits_shares_a_message_and_counts_until_it_is_taken():
    async def work() -> None:
        async with running() as made:
            made.pipe.room.clear()
            made.stream.send(b"first")
            await asyncio.sleep(0.01)
            made.stream.send(b"a")
            made.stream.send(b"bc")
            assert made.stream.unsent_bytes == 8
            made.pipe.room.set()
            assert await made.pipe.written.get() == data(b"first")
            assert await made.pipe.written.get() == data(b"a", b"bc")
            await asyncio.sleep(0.01)
            assert made.stream.unsent_bytes == 0

    run(work())


def test_all_frames_of_a_message_come_in_one_call():
    async def work() -> None:
        async with running() as made:
            made.pipe.arriving.put_nowait(Frame(beat=Beat()))
            made.pipe.arriving.put_nowait(data(b"a", b"b"))
            made.pipe.arriving.put_nowait(Frame())  # a body that this version does not know
            made.pipe.arriving.put_nowait(data(b"c"))
            await made.told.until(lambda: made.told.count("n2") == 3)
            assert made.told.frames["n2"] == [b"a", b"b", b"c"]
            assert made.told.calls == 2

    run(work())


@pytest.mark.parametrize(
    ("arriving", "reason"),
    [(None, "reset"), (Frame(data=b"\0\0\0\5"), "bad frames: a frame is cut short")],
)
def test_a_broken_wire_or_frame_is_the_end(arriving: Frame | None, reason: str):
    async def work() -> None:
        made = Made()
        made.pipe.arriving.put_nowait(arriving)
        await made.stream.run()
        assert made.ends == [reason]

    run(work())


def test_a_fault_of_the_engine_is_told_in_the_log_and_ends_the_link():
    async def work() -> None:
        made = Made()
        del made.told.links["n2"]  # which makes peer_frames fail
        made.pipe.arriving.put_nowait(data(b"a"))
        with capture_logs() as lines:
            await made.stream.run()
        assert [line["event"] for line in lines] == ["cluster_link_failed"]
        assert made.ends[0].startswith("a fault of this node: AssertionError")

    run(work())


def test_closing_ends_it_after_the_call_and_what_comes_later_is_dropped():
    async def work() -> None:
        async with running() as made:
            await asyncio.sleep(0.01)  # until the reader waits
            made.pipe.arriving.put_nowait(data(b"a"))
            made.stream.close("enough")
            made.stream.close("twice")
            made.stream.send(b"late")
            assert made.ends == []
            await asyncio.sleep(0.01)
            assert made.ends == ["enough"]
            assert made.told.frames == {}
            assert made.pipe.written.empty()

    run(work())


def test_a_peer_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "UNSENT_BYTES_MAX", 10)

    async def work() -> None:
        async with running() as made:
            made.stream.send(bytes(10))
            await asyncio.sleep(0.01)
            assert made.ends == []
            made.pipe.room.clear()
            made.stream.send(bytes(11))
            await asyncio.sleep(0.01)
            assert made.ends == ["10 bytes wait for the peer to take them"]

    run(work())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same proportions, a tenth as long."""
    for name in ("BEAT_SECONDS", "SILENT_SECONDS", "PULSE_SECONDS"):
        monkeypatch.setattr(module, name, getattr(module, name) / 10)


@pytest.mark.usefixtures("quick")
def test_an_idle_stream_beats_and_a_busy_one_does_not():
    async def work() -> None:
        async with running() as made:
            for _ in range(5):
                made.pipe.arriving.put_nowait(Frame(beat=Beat()))
                assert (await made.pipe.written.get()).HasField("beat")
            for _ in range(20):
                made.pipe.arriving.put_nowait(Frame(beat=Beat()))
                made.stream.send(b"x")
                assert (await made.pipe.written.get()).data
                await asyncio.sleep(0.005)

    run(work())


@pytest.mark.usefixtures("quick")
def test_silence_is_the_end_and_beats_are_no_silence():
    async def work() -> None:
        async with running() as made:
            for _ in range(10):
                made.pipe.arriving.put_nowait(Frame(beat=Beat()))
                await asyncio.sleep(0.03)
            assert made.ends == []
            await asyncio.sleep(0.1)
            assert made.ends == []
            assert made.stream.silent_seconds > 0.05
            while not made.ends:
                await asyncio.sleep(0.01)
            assert made.ends == ["nothing was heard for 0.15 seconds"]

    run(work())


@pytest.mark.usefixtures("quick")
def test_that_this_node_was_away_says_nothing_of_the_peer():
    class Jumping:
        now = 0.0

        def monotonic(self) -> float:
            self.now += 100.0
            return self.now

        def wall(self) -> float:
            return 0.0

    async def work() -> None:
        async with running(Jumping()) as made:
            await asyncio.sleep(0.05)
            assert made.ends == []

    run(work())
