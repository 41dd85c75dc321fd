"""The stream between two nodes: frames per second and CPU per frame on both sides, by the size of the frame.

    python benches/links.py [SECONDS]

Two processes on loopback, without TLS. The sender keeps at most 8 MB unsent, as the engine does; the receiver
counts. CPU is that of the whole process, gRPC's threads included. Small frames share messages, so the first row says
what a frame costs and not what a message does.
"""

import asyncio
import os
import resource
import sys
import time
from collections.abc import Sequence

import structlog
import uvloop

from rookery.cluster.links import Links
from rookery.cluster.security import LinkSecurity
from rookery.ports import PeerLink

SIZES = (300, 16 * 1024, 64 * 1024, 256 * 1024)
UNSENT_BYTES = 8 * 1024 * 1024
TURN_FRAMES = 100
"""After so many the loop has its turn."""
MARK = b"mark"


def cpu_seconds() -> float:
    """What this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class End:
    """One side. It answers a mark with how much it received, and its CPU."""

    def __init__(self) -> None:
        self.link: PeerLink | None = None
        self.up = asyncio.Event()
        self.answers: asyncio.Queue[tuple[int, float]] = asyncio.Queue()
        self.received = 0
        self.done = False

    def peer_up(self, node_id: str, boot: str, link: PeerLink) -> None:
        """The link is there."""
        self.link = link
        self.up.set()

    def peer_down(self, node_id: str, reason: str) -> None:
        """It must not go while something is measured."""
        if not self.done:
            print(f"the link to {node_id} went down: {reason}", flush=True)
            os._exit(1)

    def peer_frames(self, node_id: str, frames: Sequence[bytes]) -> None:
        """Count them."""
        assert self.link is not None
        for frame in frames:
            if frame == MARK:
                self.link.send(f"answer {self.received} {cpu_seconds()}".encode())
            elif frame.startswith(b"answer "):
                _, received, cpu = frame.split()
                self.answers.put_nowait((int(received), float(cpu)))
            else:
                self.received += 1

    async def ask(self) -> tuple[int, float]:
        """How much the other side received so far, all that was sent before included."""
        assert self.link is not None
        self.link.send(MARK)
        return await self.answers.get()


async def receive() -> None:
    """The other process, until its input ends."""
    end = End()
    links = Links("n1", "b1", "bench", LinkSecurity(), "127.0.0.1:0", end)
    await links.start()
    print(links.address, flush=True)
    loop = asyncio.get_running_loop()
    address = await loop.run_in_executor(None, sys.stdin.readline)
    links.set_members({"n2": address.strip()})
    await loop.run_in_executor(None, sys.stdin.readline)
    os._exit(0)


async def send_for(end: End, size: int, seconds: float) -> None:
    """Measure one size, and print its row."""
    assert end.link is not None
    frame = os.urandom(size)
    received, their_cpu = await end.ask()
    our_cpu, begin, sent = cpu_seconds(), time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        turn = 0
        while turn < TURN_FRAMES and end.link.unsent_bytes < UNSENT_BYTES:
            end.link.send(frame)
            turn += 1
        sent += turn
        await asyncio.sleep(0)
    now_received, their_cpu_now = await end.ask()
    elapsed = time.perf_counter() - begin
    assert now_received - received == sent, "frames were lost"
    ours = (cpu_seconds() - our_cpu) / sent * 1e6
    theirs = (their_cpu_now - their_cpu) / sent * 1e6
    print(
        f"{size:>9} {sent / elapsed:>12.0f} {sent * size / elapsed / 1e6:>8.1f}"
        f" {ours:>14.1f} {theirs:>16.1f}"
    )


async def measure(seconds: float) -> None:
    """All sizes, one after the other."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "receive",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    end = End()
    links = Links("n2", "b1", "bench", LinkSecurity(), "127.0.0.1:0", end)
    await links.start()
    address = await process.stdout.readline()
    process.stdin.write(f"{links.address}\n".encode())
    links.set_members({"n1": address.decode().strip()})
    await end.up.wait()
    print(
        f"{'bytes':>9} {'frames/s':>12} {'MB/s':>8} {'sender us/frame':>14} {'receiver us/frame':>16}"
    )
    for size in SIZES:
        await send_for(end, size, seconds)
    end.done = True
    process.stdin.close()
    os._exit(await process.wait())


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    if sys.argv[1:] == ["receive"]:
        uvloop.run(receive())
    else:
        uvloop.run(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0))
