import json
from pathlib import Path

import pytest

from rookery_bench.cluster import __main__ as command
from rookery_bench.cluster.results import Line, Result, at_most


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results go to a folder of their own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_keep_their_order() -> None:
    assert command.rows_of("loss,qos0") == ["qos0", "loss"]
    assert command.rows_of(None) == list(command.ROWS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--rows", "nope"], "no row nope"),
        (["--peers", "nope"], "no cluster nope"),
        (["--rookery-python", "/bin/false"], "cannot import"),
    ],
)
def test_a_wrong_call_is_told(
    given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(given) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("faults", "code"), [([], 0), (["1 lost"], 1)])
def test_what_is_found_is_shown_and_kept(
    faults: list[str],
    code: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def measured(*_: object) -> Result:
        line = Line("third node", {"ready s": 2.5}, faults)
        return Result("cluster_join", "a node joins", [line], [at_most("ready", 2.5, 10, " s")])

    monkeypatch.setattr(command, "joining", measured)
    given = ["--rows", "join", "--peers", "none", "--interpreted"]
    assert command.main(given) == code
    assert "a node joins" in capsys.readouterr().out
    (markdown,) = (folder / "benches" / "results").glob("cluster-*.md")
    assert "| third node" in markdown.read_text()
    assert command.main([*given, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["rows"][0]["lines"][0]["figures"] == {"ready s": 2.5}
