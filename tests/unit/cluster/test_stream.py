import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from rookery.actors.clock import SystemClock
from rookery.cluster import stream as module
from rookery.cluster.framing import BEAT, Incoming, farewell, head_of
from rookery.cluster.opening import Opening
from rookery.cluster.proto.cluster_pb2 import Frame
from rookery.cluster.stream import Stream
from rookery.cluster.wire import WireBroken
from tests.support.links import Told, run


class Call:
    """The call in which the nodes have shaken hands."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def read(self) -> Frame:
        await self.over.wait()
        raise WireBroken("it was given up")

    async def write(self, frame: Frame) -> None:
        raise AssertionError("nothing more is said in the call")


class Made:
    """A stream on one end of a connection, whose other end is the test."""

    def __init__(self, clock: Any = None) -> None:
        self.told, self.call = Told(), Call()
        self.ends: list[str] = []
        self.stream = Stream(
            "n2", "b1", 1, self.call, self.told, clock or SystemClock(), self._ended
        )
        self.told.links["n2"] = self.stream
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def connect(self, early: bytes = b"") -> None:
        here, there = socket.socketpair()
        for each in (here, there):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        self.reader, self.writer = await asyncio.open_connection(sock=there)
        _, opening = await asyncio.get_running_loop().create_connection(Opening, sock=here)
        if early:
            self.writer.write(early)
            await opening.read(1)
        self.stream.attach(opening)
        assert await self.reader.readexactly(4) == BEAT

    async def frame(self) -> bytes:
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return await self.reader.readexactly(size & ~(1 << 31))

    def _ended(self, stream: Stream, reason: str) -> None:
        self.ends.append(reason)


@asynccontextmanager
async def running(clock: Any = None, early: bytes = b"") -> AsyncIterator[Made]:
    made = Made(clock)
    await made.connect(early)
    task = asyncio.create_task(made.stream.run())
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        made.stream.end("the test is over")
        made.writer.close()
        await task


def data(*frames: bytes) -> bytes:
    return b"".join(head_of(frame) + frame for frame in frames)


def test_frames_arrive_and_what_is_not_taken_is_counted():
    async def work() -> None:
        async with running() as made:
            made.stream.send(b"first")
            assert await made.frame() == b"first"
            big = bytes(4_000_000)
            made.stream.send(big)
            await asyncio.sleep(0.01)
            assert 3_000_000 < made.stream.unsent_bytes < len(big)
            assert await made.frame() == big
            assert made.stream.unsent_bytes == 0

    run(work())


def test_all_frames_that_arrive_together_come_in_one_call():
    async def work() -> None:
        async with running(early=b"x" + data(b"early")) as made:
            assert made.told.frames["n2"] == [b"early"]
            made.writer.write(BEAT + data(b"a", b"b"))
            await made.told.until(lambda: made.told.count("n2") == 3)
            made.writer.write(data(b"c"))
            await made.told.until(lambda: made.told.count("n2") == 4)
            assert made.told.frames["n2"] == [b"early", b"a", b"b", b"c"]
            assert made.told.calls == 3

    run(work())


@pytest.mark.parametrize(
    ("arriving", "reason"),
    [
        (farewell("it stops\n"), "it stops?"),
        (b"\x7f\xff\xff\xff", "bad frames: a length of 2147483647 bytes"),
        (None, "the connection was lost"),
    ],
)
def test_a_farewell_a_bad_frame_or_a_lost_connection_is_the_end(arriving: Any, reason: str):
    async def work() -> None:
        made = Made()
        await made.connect()
        if arriving is None:
            made.writer.close()
        else:
            made.writer.write(arriving)
        await made.stream.run()
        assert made.ends == [reason]
        made.writer.close()

    run(work())


def test_the_end_of_the_call_is_that_of_the_link_and_the_other_side_is_told():
    async def work() -> None:
        async with running() as made:
            made.call.over.set()
            heard = Incoming()
            heard.add(await made.reader.read())
            assert made.ends == ["it was given up"]
            assert heard.farewell == "it was given up"

    run(work())


def test_a_fault_of_the_engine_is_told_in_the_log_and_ends_the_link():
    async def work() -> None:
        made = Made()
        await made.connect()
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        del made.told.links["n2"]  # which makes peer_frames fail
        made.writer.write(data(b"a"))
        with capture_logs() as lines:
            await made.stream.run()
        assert [line["event"] for line in lines] == ["cluster_link_failed"]
        assert made.ends[0].startswith("a fault of this node: AssertionError")
        made.writer.close()

    run(work())


def test_closing_ends_it_after_the_call_and_what_comes_later_is_dropped():
    async def work() -> None:
        async with running() as made:
            made.stream.close("enough")
            made.stream.close("twice")
            made.stream.send(b"late")
            made.stream.data_received(data(b"a"))
            assert made.ends == []
            await asyncio.sleep(0)
            assert cast("list[str]", made.ends) == ["enough"]
            assert made.told.frames == {}
            assert await made.reader.read() == farewell("enough")

    run(work())


def test_a_connection_that_is_gone_is_not_taken():
    async def work() -> None:
        made = Made()
        here, there = socket.socketpair()
        _, opening = await asyncio.get_running_loop().create_connection(Opening, sock=here)
        there.close()
        with pytest.raises(WireBroken):
            await opening.read(1)
        with pytest.raises(WireBroken):
            made.stream.attach(opening)
        assert made.stream.unsent_bytes == 0
        made.stream.send(b"into the void")
        made.stream.end("there was none")

    run(work())


def test_a_peer_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "UNSENT_BYTES_MAX", 10_000_000)

    async def work() -> None:
        async with running() as made:
            made.stream.send(bytes(5_000_000))
            await asyncio.sleep(0)
            assert made.ends == []
            made.stream.send(bytes(10_000_000))
            await asyncio.sleep(0)
            assert made.ends == ["10000000 bytes wait for the peer to take them"]

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
                made.writer.write(BEAT)
                assert await made.reader.readexactly(4) == BEAT
            for _ in range(20):
                made.writer.write(BEAT)
                made.stream.send(b"x")
                assert await made.frame() == b"x"
                await asyncio.sleep(0.005)

    run(work())


@pytest.mark.usefixtures("quick")
def test_silence_is_the_end_and_beats_are_no_silence():
    async def work() -> None:
        async with running() as made:
            for _ in range(10):
                made.writer.write(BEAT)
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
