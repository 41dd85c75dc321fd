"""How a turn is shared out among handshakes; 300 of them at once, and two clients that do not mind."""

import ssl

import pytest

from rookery.mqtt.packets import Subscribe, SubscriptionRequest
from rookery.net.handshakes import SECONDS_PER_TURN_MAX, STEPS_PER_TURN_MAX, Handshakes
from rookery.net.link_io import LINGER_SECONDS
from rookery.net.tls import TlsLayer
from tests.support.certificates import Certificates, make_certificates
from tests.support.engine import FakeClock, publish
from tests.support.network import Far, Network, network
from tests.support.tls import tls_context

CLIENTS = 300


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Waiter:
    """Somebody in the queue, whose step takes so long."""

    def __init__(self, handshakes: Handshakes, clock: FakeClock, seconds: float = 0.0) -> None:
        self.worked = 0
        self._handshakes, self._clock, self._seconds = handshakes, clock, seconds

    def work(self, now: float) -> None:
        self.worked += 1
        self._handshakes.begin_step()
        self._clock.now += self._seconds
        self._handshakes.end_step()

    def ready(self, mask: int, now: float) -> None: ...

    def flush(self, now: float) -> None: ...


class TestTheTurnsShare:
    def test_so_many_steps_and_the_rest_in_the_next_turn(self) -> None:
        clock = FakeClock()
        handshakes = Handshakes(clock)
        waiters = [Waiter(handshakes, clock) for _ in range(STEPS_PER_TURN_MAX + 1)]
        handshakes.waiting.extend(waiters)
        handshakes.begin_turn(0.0)
        assert [each.worked for each in waiters] == [1] * STEPS_PER_TURN_MAX + [0]
        assert not handshakes.may_step()
        handshakes.begin_turn(0.0)
        assert waiters[-1].worked == 1
        assert handshakes.may_step()

    def test_no_step_is_begun_when_the_time_is_up(self) -> None:
        clock = FakeClock()
        handshakes = Handshakes(clock)
        waiters = [Waiter(handshakes, clock, SECONDS_PER_TURN_MAX / 2 + 1e-4) for _ in range(3)]
        handshakes.waiting.extend(waiters)
        handshakes.begin_turn(0.0)
        assert [each.worked for each in waiters] == [1, 1, 0]
        handshakes.begin_turn(0.0)
        assert [each.worked for each in waiters] == [1, 1, 1]

    def test_one_long_step_is_a_turn(self) -> None:
        clock = FakeClock()
        handshakes = Handshakes(clock)
        waiters = [Waiter(handshakes, clock, 1.0) for _ in range(3)]
        handshakes.waiting.extend(waiters)
        for turn in range(3):
            handshakes.begin_turn(0.0)
            assert sum(each.worked for each in waiters) == turn + 1


class Storm:
    """Many clients that begin a handshake at once."""

    def __init__(self, net: Network, certificates: Certificates, count: int) -> None:
        pair = certificates.server
        self.net = net
        self.server = tls_context(pair.certificate, pair.private_key)
        self.context = ssl.create_default_context(cafile=certificates.ca)
        self.clients = [StormClient(self) for _ in range(count)]

    def go_on(self) -> None:
        for client in self.clients:
            client.go_on()

    def done(self) -> int:
        return sum(client.done for client in self.clients)


class StormClient:
    def __init__(self, storm: Storm) -> None:
        self.layer = TlsLayer(storm.server)
        self.far, self.io = storm.net.link(self.layer, self.layer)
        self.done = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = storm.context.wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )
        self.go_on()

    def go_on(self) -> None:
        try:
            self._incoming.write(self.far.sock.recv(65_536))
        except BlockingIOError:
            pass
        if not self.done:
            try:
                self._tls.do_handshake()
                self.done = True
            except ssl.SSLWantReadError:
                pass
            self.far.sock.sendall(self._outgoing.read())


def bystanders(net: Network) -> tuple[Far, Far]:
    """One that publishes to the other."""
    publisher, subscriber = net.link()[0], net.link()[0]
    publisher.connect("publisher")
    subscriber.connect("subscriber")
    subscriber.put(Subscribe(1, [SubscriptionRequest("t")]))
    assert subscriber.receive(1)[0].startswith("SUBACK")
    return publisher, subscriber


def test_a_storm_is_spread_over_turns_and_each_turn_serves_the_others(
    certificates: Certificates,
) -> None:
    with network() as net:
        publisher, subscriber = bystanders(net)
        storm = Storm(net, certificates, CLIENTS)
        handshakes = net.poller.handshakes
        for _ in range(CLIENTS // STEPS_PER_TURN_MAX):
            publisher.put(publish("t"))
            net.turn()
            # One turn takes the message from one to the other, whoever else is shaking hands.
            subscriber.read()
            assert len(subscriber.packets) == 1
            subscriber.packets.clear()
            assert handshakes._steps <= STEPS_PER_TURN_MAX
            assert handshakes.waiting
        net.until(lambda: (storm.go_on(), handshakes.of("tcp").done == CLIENTS)[1])
        assert storm.done() == CLIENTS
        assert (handshakes.counts["tcp"].failed, len(handshakes.waiting)) == (0, 0)


def test_who_came_first_is_served_first(certificates: Certificates) -> None:
    with network() as net:
        storm = Storm(net, certificates, 3 * STEPS_PER_TURN_MAX)
        answered: list[int] = []
        while len(answered) < len(storm.clients):
            net.turn()
            storm.go_on()
            for index, client in enumerate(storm.clients):
                if client.done and index not in answered:
                    answered.append(index)
        first = set(answered[:STEPS_PER_TURN_MAX])
        assert first == set(range(STEPS_PER_TURN_MAX))
        assert set(answered[-STEPS_PER_TURN_MAX:]) == set(
            range(2 * STEPS_PER_TURN_MAX, 3 * STEPS_PER_TURN_MAX)
        )


def test_the_time_in_the_queue_is_not_the_clients(certificates: Certificates) -> None:
    with network(connect_deadline_seconds=10.0) as net:
        storm = Storm(net, certificates, STEPS_PER_TURN_MAX + 1)
        net.turn()
        (last,) = [each for each in storm.clients if each.io._waits_since >= 0]
        waiting = net.poller.handshakes.waiting
        waiting.clear()  # As if many others were before it.
        net.wait(30.0)
        assert last.io in net.links
        net.wait(LINGER_SECONDS + 1)
        assert net.links == {last.io}  # The others had their time and said no CONNECT.
        waiting.append(last.io)
        net.turn()
        last.go_on()
        assert last.done
        net.wait(9.0)
        assert not last.io._closing
        net.wait(2.0)
        net.wait(LINGER_SECONDS + 1)
        assert last.io not in net.links


def test_one_that_is_cut_in_the_queue_leaves_it(certificates: Certificates) -> None:
    with network() as net:
        storm = Storm(net, certificates, STEPS_PER_TURN_MAX + 1)
        net.turn()
        (last,) = [each for each in storm.clients if each.io._waits_since >= 0]
        last.io.client.cut()  # As where it makes room for a newer one.
        assert last.io not in net.links
        net.turn()
        assert net.poller.handshakes.counts["tcp"].failed == 1


def test_one_that_goes_away_in_the_queue_is_passed_over(certificates: Certificates) -> None:
    with network() as net:
        storm = Storm(net, certificates, STEPS_PER_TURN_MAX + 2)
        net.turn()
        gone, last = [each for each in storm.clients if each.io._waits_since >= 0]
        gone.io.abort()
        net.turn()
        last.go_on()
        assert last.done
        counts = net.poller.handshakes.counts["tcp"]
        assert counts.failed == 1


def test_what_became_of_handshakes_is_counted(certificates: Certificates) -> None:
    with network() as net:
        (good,) = Storm(net, certificates, 1).clients
        net.turn()
        good.go_on()
        net.turn()
        counts = net.poller.handshakes.counts["tcp"]
        assert (counts.done, counts.resumed, counts.failed) == (1, 0, 0)
        layer = TlsLayer(
            tls_context(certificates.server.certificate, certificates.server.private_key)
        )
        far, _ = net.link(layer, layer)
        far.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        net.turn()
        assert (counts.done, counts.failed) == (1, 1)
        good.io.abort()  # A link that ends later is no failed handshake.
        assert (counts.done, counts.failed) == (1, 1)
