import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvloop

from rookery.mqtt.packets import Subscribe, SubscriptionRequest
from rookery.net.poller import READABLE, WRITABLE, Poller
from tests.support.engine import Engine, connect, publish
from tests.support.network import Network, network


class Probe:
    """Keeps what it was told, and does then what it was asked to."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.told: list[str] = []
        self.then = then

    def ready(self, mask: int, now: float) -> None:
        self.told.append(f"ready {mask}")
        self.then()

    def work(self, now: float) -> None:
        self.told.append("work")
        self.then()

    def flush(self, now: float) -> None:
        self.told.append("flush")
        self.then()


def pair(net: Network) -> tuple[socket.socket, socket.socket]:
    far, near = socket.socketpair()
    return net.keep(far), net.keep(near)


class TestReadiness:
    def test_who_is_readable_is_told(self):
        with network() as net:
            far, near = pair(net)
            probe = Probe()
            net.poller.add(near.fileno(), probe)
            net.turn()
            assert probe.told == []
            far.send(b"x")
            net.turn()
            assert probe.told == [f"ready {READABLE}"]

    def test_what_is_watched_for_may_change(self):
        with network() as net:
            far, near = pair(net)
            probe = Probe()
            net.poller.add(near.fileno(), probe)
            far.send(b"x")
            net.poller.watch(near.fileno(), readable=False, writable=True)
            net.turn()
            net.poller.watch(near.fileno(), readable=True, writable=True)
            net.turn()
            net.poller.watch(near.fileno(), readable=False, writable=False)
            net.turn()
            assert probe.told == [f"ready {WRITABLE}", f"ready {READABLE | WRITABLE}"]

    def test_who_was_removed_is_told_no_more(self):
        with network() as net:
            far, near = pair(net)
            probe = Probe()
            net.poller.add(near.fileno(), probe)
            far.send(b"x")
            net.poller.remove(near.fileno())
            net.poller.remove(near.fileno())
            net.turn()
            assert probe.told == []

    def test_who_is_removed_in_the_same_turn_is_not_told_either(self):
        with network() as net:
            ends = [pair(net) for _ in range(2)]
            probes: list[Probe] = []

            def remove_all() -> None:
                for _, near in ends:
                    net.poller.remove(near.fileno())

            for far, near in ends:
                probes.append(Probe(remove_all))
                net.poller.add(near.fileno(), probes[-1])
                far.send(b"x")
            net.turn()
            assert sorted(len(probe.told) for probe in probes) == [0, 1]


class TestATurn:
    def test_all_are_read_before_anything_is_written(self):
        with network() as net:
            reader, _ = net.link()
            reader.connect("r")
            writers = [net.link()[0] for _ in range(3)]
            for n, writer in enumerate(writers):
                writer.connect(f"w{n}")
            reader.put(Subscribe(1, [SubscriptionRequest("t")]))
            reader.receive(1)
            for n, writer in enumerate(writers):
                writer.put(publish("t", b"%d" % n))
            net.turn()
            data = reader.sock.recv(65_536)
            assert len(data) == 3 * len(b"\x30\x05\0\1t\0x")

    def test_who_had_nothing_of_the_last_turn_goes_before_those_that_had(self):
        with network() as net:
            order: list[str] = []
            for name in "ab":
                net.poller.unfinished.append(Probe(lambda name=name: order.append(name)))
            net.poller.starved.append(Probe(lambda: order.append("starved")))
            net.turn()
            assert order == ["starved", "a", "b"]
            assert net.poller.starved == []

    def test_unfinished_work_goes_first(self):
        with network() as net:
            far, near = pair(net)
            order: list[str] = []
            held, fresh = (Probe(lambda name=name: order.append(name)) for name in ("held", "new"))
            net.poller.add(near.fileno(), fresh)
            far.send(b"x")
            net.poller.unfinished.append(held)
            net.turn()
            assert held.told == ["work"]
            assert order == ["held", "new"]
            assert net.poller.unfinished == []

    def test_what_a_flush_makes_dirty_is_flushed_too(self):
        with network() as net:
            second = Probe()
            first = Probe(lambda: net.poller.dirty.append(second))
            net.poller.dirty.append(first)
            net.turn()
            assert (first.told, second.told) == (["flush"], ["flush"])


def run(work: Callable[[Engine, Poller], Awaitable[None]]) -> None:
    """Run a poller in a running loop."""

    async def main() -> None:
        engine = Engine()
        poller = Poller(engine.broker, asyncio.get_running_loop())
        poller.start()
        try:
            await work(engine, poller)
        finally:
            poller.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


class TestInALoop:
    def test_readiness_brings_a_turn(self):
        async def work(engine: Engine, poller: Poller) -> None:
            far, near = socket.socketpair()
            woken = asyncio.Event()
            with far, near:

                def read() -> None:
                    near.recv(10)
                    woken.set()

                poller.add(near.fileno(), Probe(read))
                far.send(b"x")
                await asyncio.wait_for(woken.wait(), 5)
                poller.remove(near.fileno())

        run(work)

    def test_asked_for_often_it_comes_once(self):
        async def work(engine: Engine, poller: Poller) -> None:
            turns = []
            now = engine.clock.now
            # A turn begins with the time, and nothing else asks for it here.
            engine.clock.monotonic = lambda: (turns.append(1), now)[1]
            for _ in range(5):
                engine.broker.request_turn()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(turns) == 1
            engine.broker.request_turn()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(turns) == 2

        run(work)

    def test_work_left_over_asks_for_the_next_by_itself(self):
        async def work(engine: Engine, poller: Poller) -> None:
            done = asyncio.Event()
            again = Probe(lambda: poller.unfinished.append(last))
            last = Probe(done.set)
            poller.unfinished.append(again)
            poller.request_turn()
            await asyncio.wait_for(done.wait(), 5)
            assert last.told == ["work"]

        run(work)

    def test_the_timers_need_no_traffic(self):
        async def work(engine: Engine, poller: Poller) -> None:
            rang = asyncio.Event()
            peer = engine.peer()
            peer.io.close = rang.set
            engine.clock.now += 1_000
            await asyncio.wait_for(rang.wait(), 5)

        run(work)

    def test_after_the_stop_no_turn_is_taken(self):
        async def work(engine: Engine, poller: Poller) -> None:
            probe = Probe()
            poller.request_turn()
            poller.unfinished.append(probe)
            poller.stop()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert probe.told == []

        async def main() -> None:
            engine = Engine()
            poller = Poller(engine.broker, asyncio.get_running_loop())
            await work(engine, poller)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())


def test_a_client_of_its_own_is_served_end_to_end():
    with network() as net:
        far, _ = net.link()
        far.put(connect("a"))
        assert far.receive(1) == ["CONNACK"]
