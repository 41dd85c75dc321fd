"""A link that takes more than its share waits, and nothing of it is lost."""

from rookery.engine.settings import Rates
from rookery.mqtt.packets import PingReq
from tests.support.engine import Engine, publish, said

TWO_A_SECOND = Rates(messages_per_second_max=2, burst_seconds=1)


def test_it_goes_on_when_it_is_time():
    engine = Engine(client=TWO_A_SECOND)
    peer = engine.connect("a")
    packets = [publish("t", b"x", 1, packet_id=number) for number in range(1, 5)]
    answers = said(peer.send(*packets, PingReq()))
    assert len(answers) == 2
    assert peer.io.paused
    assert engine.broker.gate.paced == 1
    engine.wait(3)
    assert said(peer.take()) == ["PUBACK #3 0x10", "PUBACK #4 0x10", "PINGRESP"]
    assert not peer.io.paused
    assert engine.broker.gate.paced == 0


def test_a_client_may_be_sent_away_for_it():
    engine = Engine(client=TWO_A_SECOND, client_exceeding_ends=True)
    peer = engine.connect("a")
    packets = [publish("t", b"x", 1, packet_id=number) for number in range(1, 9)]
    assert said(peer.send(*packets))[-1] == "DISCONNECT 0x96"
    assert engine.broker.gate.paced == 0
