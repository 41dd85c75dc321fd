import json
import sys
from pathlib import Path

import pytest

import rookery
from rookery_bench.__main__ import arguments, main, peer_names
from rookery_bench.peers import Peer, find_peer, find_rookery
from rookery_bench.scenarios import choose

QUICK = ["--quick", "--cases", "connect", "--peers", "mosquitto"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results go to a folder of their own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_measurement_is_shown_and_kept(
    mosquitto_peer: Peer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUICK, "--save-baseline"]) == 0
    shown = capsys.readouterr().out
    assert "connect + CONNACK" in shown
    assert "us/connect" in shown
    (markdown,) = (folder / "benches" / "results").glob("*.md")
    assert "| connect + CONNACK |" in markdown.read_text()
    baseline = json.loads((folder / "benches" / "baseline.json").read_text())
    assert baseline["environment"]["mosquitto"] == mosquitto_peer.version
    assert baseline["rows"][0]["figures"]["mosquitto"]["value"] > 1


def test_json_is_all_that_is_printed_when_asked_for(
    mosquitto_peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUICK, "--json", "--mqtt", "5.0"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["name"] == "connect"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--cases", "nope"], "no case nope"),
        (["--peers", "nats"], "no broker nats"),
        (["cluster", "--rows", "nope"], "no row nope"),
    ],
)
def test_a_wrong_call_is_told(
    given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == 2
    assert words in capsys.readouterr().err


def test_a_check_needs_a_baseline(mosquitto_peer: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--check"]) == 2
    assert "no benches/baseline.json" in capsys.readouterr().err


def test_a_fall_below_the_baseline_fails_the_check(
    mosquitto_peer: Peer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "benches").mkdir()
    row = {"name": "connect", "ratios": {"rookery": 1_000_000.0}}
    (folder / "benches" / "baseline.json").write_text(json.dumps({"rows": [row]}))
    monkeypatch.setattr("rookery_bench.__main__.find_peer", of_the_tree)
    given = ["--quick", "--cases", "connect", "--peers", "rookery,mosquitto"]
    assert main([*given, "--check"]) == 1
    assert main(given) == 0


def of_the_tree(name: str, python: str | None, flashmq: str | None) -> Peer:
    """Find Rookery in the source tree and not as installed, under the same name."""
    if name != "rookery":
        return find_peer(name, python, flashmq)
    return find_rookery(name, sys.executable, Path(rookery.__file__).parents[1])


def test_flashmq_is_measured_where_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    (connect,) = choose("connect")
    monkeypatch.delenv("FLASHMQ", raising=False)
    assert peer_names(arguments([]), connect) == ["rookery", "mosquitto"]
    monkeypatch.setenv("FLASHMQ", "/opt/flashmq")
    assert peer_names(arguments([]), connect) == ["rookery", "mosquitto", "flashmq"]


def test_durable_cases_are_compared_with_less_durability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLASHMQ", raising=False)
    (durable,) = choose("durable_qos1_pairs")
    expected = ["rookery", "rookery-os", "rookery-memory", "mosquitto"]
    assert peer_names(arguments([]), durable) == expected
    assert peer_names(arguments(["--peers", "mosquitto"]), durable) == ["mosquitto"]


def test_durable_traffic_is_measured_with_the_disk_named(
    mosquitto_peer: Peer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = "durable_qos1_single,durable_qos1_1to1"
    assert main(["--quick", "--cases", cases, "--peers", "mosquitto"]) == 0
    shown = capsys.readouterr().out
    assert "Durable traffic" in shown
    assert "fsync p50" in shown
    assert "CPU per message" not in shown, "there is no other row"
