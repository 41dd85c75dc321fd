"""The scripts of the simulation once more, with nodes that die for good; the same referee judges."""

import pytest

from tests.simulation.adoption import AdoptingWorld
from tests.simulation.script import script

STEPS = 300


@pytest.mark.parametrize("seed", range(1, 21))
def test_every_promise_is_kept_by_whoever_adopts(seed):
    AdoptingWorld(seed).run(script(seed, STEPS))


def test_the_scripts_do_bring_adoptions_and_deaths_in_the_middle_of_them():
    worlds = [AdoptingWorld(seed) for seed in range(1, 6)]
    for seed, world in enumerate(worlds, start=1):
        world.run(script(seed, STEPS))
    assert sum(world.adoptions for world in worlds) >= 10
    assert sum(world.killed for world in worlds) >= 5
