"""Loading for commands."""

from pathlib import Path

import pytest
import typer

from rookery.cli.options import load_or_exit


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROOKERY_CONFIG", raising=False)


def test_file_environment_and_overrides_are_read(monkeypatch: pytest.MonkeyPatch):
    Path("rookery.yaml").write_text("log: {level: debug}\n")
    monkeypatch.setenv("NODE_ID", "n")
    loaded = load_or_exit(None, ["limits.inflight_max=7"])
    config = loaded.config
    assert (config.log.level, config.broker.node_id, config.limits.inflight_max) == (
        "debug",
        "n",
        7,
    )


def test_errors_are_printed_and_the_exit_code_is_1(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(typer.Exit) as exit_:
        load_or_exit(Path("no.yaml"), None)
    assert exit_.value.exit_code == 1
    assert capsys.readouterr().err == "no.yaml: cannot be read: No such file or directory\n"
