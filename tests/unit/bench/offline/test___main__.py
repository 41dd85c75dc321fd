import json
from pathlib import Path

import pytest

from rookery_bench.offline.__main__ import arguments, find, main
from rookery_bench.peers import Peer

SMALL = ["--peer", "mosquitto", "--end", "term", "--sessions", "20", "--messages", "400"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results go to a folder of their own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_proof_is_shown_and_kept(
    mosquitto_peer: Peer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "disk").mkdir()
    code = main([*SMALL, "--directory", str(folder / "disk")])
    shown = capsys.readouterr().out
    assert "0 lost, 0 foreign, 0 reordered" in shown
    assert "own: 20 sessions, 400 messages, each owed to 1" in shown
    (kept,) = (folder / "benches" / "results").glob("offline-*.json")
    found = json.loads(kept.read_text())
    assert found["environment"]["mosquitto"] == mosquitto_peer.version
    assert code == (0 if found["met"] else 1)
    assert str(folder / "disk") in found["environment"]["disk"]
    assert list((folder / "disk").iterdir()) == [], "nothing is left"


def test_a_missed_bound_fails(
    mosquitto_peer: Peer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("rookery_bench.offline.figures.BYTES_PER_OWED_MAX", 1e9)
    assert main([*SMALL, "--json"]) == 0
    monkeypatch.setattr("rookery_bench.offline.figures.START_SECONDS_MAX", 0.0)
    assert main([*SMALL, "--json"]) == 1
    printed = capsys.readouterr().out
    assert printed.count('"met": true') == printed.count('"met": false') == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--sessions", "0"], "needs at least"),
        (["--rookery-python", "/bin/false"], "cannot import rookery"),
        ([*SMALL, "--directory", "/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_call_is_told(
    given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == 2
    assert words in capsys.readouterr().err


def test_the_proof_is_asked_of_rookery_after_a_kill_with_fsync(monkeypatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[4])  # Where the sources lie.
    options = arguments([])
    assert (options.peer, options.durability, options.end) == ("rookery", "fsync", "kill")
    assert (options.sessions, options.messages) == (10_000, 1_000_000)
    assert find(arguments(["--peer", "rookery-interpreted"])).version.endswith("interpreted")
