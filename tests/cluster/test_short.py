"""A short form of what ``make cluster-test`` does for long, and the proof that it would notice.

How fast things are is not judged here, as other tests may run beside it: promises are.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.cluster import network

SECONDS_MAX = 90
LACKING = network.missing()


def run(*arguments):
    """The outcome of one scenario, in a process of its own, which may enter a namespace."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster", "--json", *arguments],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout, done.stderr.decode()
    (outcome,) = json.loads(done.stdout)
    return outcome


def broken(outcome):
    """What went wrong, in words."""
    accounts = [f"{each['kind']}: {each['account']}" for each in outcome["violations"]]
    return [*accounts[:20], *([outcome["fault"]] if outcome["fault"] else []), *outcome["notes"]]


def measure(outcome, name):
    (found,) = [each["value"] for each in outcome["measures"] if each["name"] == name]
    return found


@pytest.mark.timeout(SECONDS_MAX)
def test_a_node_that_keeps_all_in_memory_is_found_out():
    outcome = run(
        *("--scenario", "node_restart", "--nodes", "1", "--seconds", "1", "--sessions", "5"),
        *("--loopback", "--set", "store.durability=memory"),
    )
    kinds = {each["kind"] for each in outcome["violations"]}
    assert not outcome["passed"]
    assert {"session", "will missing"} <= kinds, broken(outcome)


@pytest.mark.timeout(SECONDS_MAX)
def test_nothing_is_lost_when_a_node_dies_with_its_disk():
    outcome = run("--scenario", "node_kill", "--sessions", "40", "--seconds", "8")
    assert outcome["fault"] == "" and outcome["violations"] == [], broken(outcome)
    assert measure(outcome, "acknowledged") > 500
    assert measure(outcome, "wills of the dead that came") == 4


@pytest.mark.skipif(bool(LACKING), reason=f"PARTITION NOT TESTED: {LACKING}")
@pytest.mark.timeout(SECONDS_MAX)
def test_a_partition_leaves_one_owner_and_heals():
    outcome = run("--scenario", "partition", "--sessions", "20", "--seconds", "8")
    assert outcome["fault"] == "" and outcome["violations"] == [], broken(outcome)
    assert measure(outcome, "all hear all after partition") is not None
