"""A short run of what ``make crash`` does for long, and the proof that it would notice."""

import pytest

from tests.crash import __main__ as crash

ROUNDS = 6
ROUNDS_SECONDS_MAX = 120


@pytest.mark.timeout(ROUNDS_SECONDS_MAX)
def test_nothing_acknowledged_is_lost(capsys):
    code = crash.main(["--rounds", str(ROUNDS), "--seed", "1", "--reckon", "3"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert f"rounds                         1 to {ROUNDS}" in said


@pytest.mark.timeout(ROUNDS_SECONDS_MAX)
def test_a_node_that_keeps_all_in_memory_is_found_out(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(crash.tempfile, "tempdir", str(tmp_path))
    code = crash.main(["--rounds", str(ROUNDS), "--seed", "1", "--durability", "memory"])
    said = capsys.readouterr().out
    assert code == 1, said
    assert "FIRST" in said
    assert "lost: Message" in said
    assert "Again: python -m tests.crash --seed 1 --first 1 --rounds 1 " in said
