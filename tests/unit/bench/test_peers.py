import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rookery_bench import wire
from rookery_bench.links import Address, open_link, read_packet
from rookery_bench.peers import (
    Broker,
    Peer,
    PeerError,
    Setting,
    find_flashmq,
    find_peer,
    free_port,
    source_folder,
)


def refused(broker: Broker, username: str, password: str) -> bool:
    address = Address(broker.address.port, username, password)
    try:
        open_link(address, "someone", wire.V3_1_1).close()
    except wire.WireError:
        return True
    return False


def test_mosquitto_lets_only_the_user_in(mosquitto: Broker) -> None:
    assert not refused(mosquitto, "bench", "rookery-bench")
    assert refused(mosquitto, "bench", "wrong")


def test_rookery_lets_only_the_user_in(rookery_peer: Peer) -> None:
    with rookery_peer.running(None) as broker:
        assert not refused(broker, "bench", "rookery-bench")
        assert refused(broker, "bench", "wrong")
        port = broker.address.port
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "it is stopped at the end"


def test_flashmq_lets_only_the_user_in() -> None:
    try:
        peer = find_flashmq(None)
    except PeerError as error:
        pytest.skip(f"FLASHMQ IS NOT TRIED: {error}")
    with peer.running(None) as broker:
        assert not refused(broker, "bench", "rookery-bench")
        assert refused(broker, "bench", "wrong")


def test_mosquitto_keeps_sessions_where_that_is_asked(mosquitto_peer: Peer, tmp_path: Path) -> None:
    for durable, present in ((True, 1), (False, 0)):
        folder = tmp_path / str(durable)
        folder.mkdir()
        setting = Setting(folder, free_port(), durable)
        for expected in (0, present):
            with mosquitto_peer.started(setting, None) as broker:
                assert session_present(broker, "keeper") == expected
                assert 0 < broker.start_seconds < 30


def session_present(broker: Broker, client_id: str) -> int:
    address = broker.address
    with socket.create_connection((address.host, address.port)) as link:
        link.sendall(
            wire.connect(
                client_id, address.username, address.password, wire.V3_1_1, persistent=True
            )
        )
        _, body = read_packet(link)
        link.sendall(wire.subscribe("kept", 1, wire.V3_1_1))
        wire.expect_suback(*read_packet(link), 1)
        link.sendall(wire.DISCONNECT)
        return body[0]


def test_a_broker_that_ends_at_once_is_told_with_its_words(rookery_peer: Peer) -> None:
    def command(_setting: Setting) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.exit('no such option')"]

    with (
        pytest.raises(PeerError, match="did not start: no such option"),
        replace(rookery_peer, command=command).running(None),
    ):
        pass


def test_the_broker_runs_on_its_core_and_the_load_where_it_was(mosquitto_peer: Peer) -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with mosquitto_peer.running(core) as broker:
        assert os.sched_getaffinity(broker.pid) == {core}
        assert os.sched_getaffinity(0) == before


def test_the_cores_are_as_before_after_a_failure(rookery_peer: Peer) -> None:
    before = os.sched_getaffinity(0)
    absent = replace(rookery_peer, command=lambda _setting: ["/nowhere/broker"])
    with pytest.raises(FileNotFoundError), absent.running(min(before)):
        pass
    assert os.sched_getaffinity(0) == before


def test_a_broker_that_is_not_there_is_told_with_what_to_do() -> None:
    with pytest.raises(PeerError, match="say where with --flashmq"):
        find_peer("flashmq", None, "/nowhere/flashmq")
    with pytest.raises(PeerError, match="cannot import rookery"):
        find_peer("rookery", "/bin/false", None)
    with pytest.raises(PeerError, match="no broker nats; there are rookery, "):
        find_peer("nats", None, None)


def test_rookery_says_which_core_it_has(rookery_peer: Peer) -> None:
    assert rookery_peer.version.endswith("interpreted")


def test_a_free_port_can_be_taken() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


@pytest.mark.parametrize(
    ("name", "durability"),
    [("rookery", "fsync"), ("rookery-os", "os"), ("rookery-memory", "memory")],
)
def test_each_rookery_has_its_durability_in_its_own_folder(
    name: str, durability: str, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={source_folder()} exec {sys.executable} "$@"\n')
    python.chmod(0o700)
    peer = find_peer(name, str(python), None)
    peer.command(Setting(tmp_path, 1, durable=True))
    config = json.loads((tmp_path / "rookery.yaml").read_text())
    kept = {} if durability == "memory" else {"directory": str(tmp_path / "store")}
    assert config["store"] == {"durability": durability} | kept


@pytest.mark.parametrize(
    ("name", "open_to_all"), [("rookery-open", True), ("rookery-guarded", False)]
)
def test_who_is_let_in_by_name(name: str, open_to_all: bool, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={source_folder()} exec {sys.executable} "$@"\n')
    python.chmod(0o700)
    with find_peer(name, str(python), None).running(None) as broker:
        assert not refused(broker, "bench", "rookery-bench")
        assert refused(broker, "bench", "wrong") is not open_to_all
