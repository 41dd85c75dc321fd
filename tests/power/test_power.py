"""A short run of what ``make power`` does for long, and the proofs that it would notice."""

import re

import pytest

from tests.power import __main__ as power
from tests.power.shim import need_library


@pytest.fixture(autouse=True)
def library():
    need_library()


def figure(said: str, name: str) -> int:
    found = re.search(rf"^{name} +(\d+)$", said, re.MULTILINE)
    assert found, said
    return int(found[1])


def test_nothing_that_was_synced_is_lost(capsys):
    code = power.main(["--lives", "3", "--cuts", "40", "--seed", "31"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert figure(said, "groups acknowledged") > 60
    assert figure(said, "operations that failed") > 10
    assert figure(said, "power cuts") > 90
    assert figure(said, "acknowledged and lost by a cut") == 0
    assert figure(said, "acknowledged and lost by a kill") == 0


def test_without_syncs_the_last_groups_are_lost_with_the_power_but_not_with_the_process(capsys):
    code = power.main(["--lives", "1", "--cuts", "40", "--seed", "1", "--durability", "os"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert figure(said, "acknowledged and lost by a cut") > 10
    assert figure(said, "acknowledged and lost by a kill") == 0


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_store_that_says_done_before_it_has_synced_is_found_out(capsys, synchronous: str):
    arguments = ["--lives", "1", "--cuts", "30", "--seed", "1", "--synchronous", synchronous]
    code = power.main([*arguments, "--without-faults"])
    said = capsys.readouterr().out
    assert code == 1, said
    assert figure(said, "broken promises") > 0
    assert "LIFE 1, cut after operation" in said
    assert "Again: python -m tests.power --seed 1 --first 1 --lives 1 --cuts 30 " in said


def test_a_disk_without_faults_has_none(capsys):
    code = power.main(["--lives", "1", "--cuts", "5", "--groups", "10", "--without-faults"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert figure(said, "operations that failed") == 0
