import json
from pathlib import Path

import pytest

from rookery_bench.__main__ import arguments, main
from rookery_bench.peers import Peer

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
    [(["--cases", "nope"], "no case nope"), (["--peers", "nats"], "no broker nats")],
)
def test_a_wrong_call_is_told(
    given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == 2
    assert words in capsys.readouterr().err


def test_flashmq_is_measured_where_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLASHMQ", raising=False)
    assert arguments([]).peers == "rookery,mosquitto"
    monkeypatch.setenv("FLASHMQ", "/opt/flashmq")
    assert arguments([]).peers == "rookery,mosquitto,flashmq"
