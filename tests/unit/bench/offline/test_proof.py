from dataclasses import replace
from pathlib import Path

import pytest

from rookery_bench import wire
from rookery_bench.links import Link
from rookery_bench.offline.figures import Figures
from rookery_bench.offline.plan import Plan
from rookery_bench.offline.proof import Proof, disk_bytes
from rookery_bench.offline.visits import Return
from rookery_bench.peers import Peer

PHASES = ["subscribe and leave", "publish", "return", "return again"]


def run(peer: Peer, folder: Path, plan: Plan, end: str) -> tuple[Figures, list[str]]:
    told: list[str] = []
    return Proof(plan, peer, folder, end, under_way=16).run(told.append), told


def assert_exact(figures: Figures) -> None:
    assert figures.faults == []
    assert figures.exact
    assert (figures.received, figures.duplicated) == (figures.plan.owed_total, 0)
    assert list(figures.seconds) == PHASES
    assert figures.first_message is not None
    assert figures.peak_bytes >= figures.published_bytes > figures.idle_bytes / 2 > 0


@pytest.mark.parametrize("owners", [1, 5])
def test_all_get_their_own_after_a_restart(
    mosquitto_peer: Peer, tmp_path: Path, owners: int
) -> None:
    figures, told = run(mosquitto_peer, tmp_path, Plan(50, 2_003, owners), "term")
    assert_exact(figures)
    assert figures.start_seconds is not None
    assert 0 < figures.start_seconds < 30
    assert told == ["start the broker", *PHASES[:2], "start the broker", *PHASES[2:]]
    assert figures.disk_published_bytes > 0


def test_what_a_broker_forgets_is_found(mosquitto_peer: Peer, tmp_path: Path) -> None:
    def forgetful(peer: Peer) -> Peer:
        return replace(peer, command=lambda setting: peer.command(replace(setting, durable=False)))

    figures, _ = run(forgetful(mosquitto_peer), tmp_path, Plan(20, 100), "kill")
    assert len(figures.faults) == 20
    assert "offline-000000: the broker has forgotten the session" in figures.faults
    assert (figures.lost, figures.received) == (100, 0)
    assert not figures.met


def test_what_a_broker_sends_again_is_left_over(
    mosquitto_peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(visit: Return, data: memoryview | bytes) -> None:
        if data[0] != wire.PUBACK:
            Link.send(visit, data)

    monkeypatch.setattr(Return, "send", send)
    figures, _ = run(mosquitto_peer, tmp_path, Plan(10, 50), "none")
    assert (figures.received, figures.lost, figures.left_over) == (50, 0, 50)
    assert not figures.met


def test_without_an_end_rookery_gives_back_from_memory(rookery_peer: Peer, tmp_path: Path) -> None:
    figures, told = run(rookery_peer, tmp_path, Plan(30, 900, 3), "none")
    assert_exact(figures)
    assert figures.start_seconds is None
    assert told == ["start the broker", *PHASES]


def test_the_disk_is_counted_in_blocks(tmp_path: Path) -> None:
    before = disk_bytes(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x" * 100_000)
    assert 100_000 <= disk_bytes(tmp_path) - before < 120_000
