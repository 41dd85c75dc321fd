"""A few seconds of what ``make fuzz-node`` does for ten minutes."""

import asyncio
from pathlib import Path

from fuzz.node.run import fuzz
from fuzz.node.streams import Scripts

SECONDS = 4.0


def test_mutated_packets_hurt_nobody(tmp_path: Path):
    report = asyncio.run(fuzz(tmp_path, 1, SECONDS, 16, lambda _: None))
    assert report.faults == []
    assert report.connections > 50
    assert report.exchanged > 50
    assert len(report.refusals) > 3, "the packets were not bad enough"


def test_a_seed_sends_the_same_again():
    assert [Scripts().script(f"5/{number}") for number in range(20)] == [
        Scripts().script(f"5/{number}") for number in range(20)
    ]
