from pathlib import Path

import pytest

from rookery_bench.cluster.systems import folder_of, free_ports, passes, wait_until
from rookery_bench.links import Address
from rookery_bench.peers import Broker, PeerError


def test_ports_are_different() -> None:
    assert len(set(free_ports(30))) == 30


def test_waiting_ends_with_what_was_waited_for() -> None:
    with pytest.raises(PeerError, match=r"it rains: not so after 0\.05 s"):
        wait_until("it rains", lambda: False, 0.05)
    answers = iter([False, False, True])
    wait_until("it rains", lambda: next(answers), 5)


def test_messages_pass_or_do_not(mosquitto: Broker) -> None:
    assert passes(mosquitto.address, mosquitto.address)
    assert not passes(mosquitto.address, Address(mosquitto.address.port, "bench", "wrong"))
    assert not passes(Address(free_ports(1)[0], "bench", "x"), mosquitto.address)


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    assert folder_of(tmp_path / "a", "b").is_dir()
