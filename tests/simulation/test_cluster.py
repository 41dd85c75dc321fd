"""Random schedules of three nodes, with and without stores that fail; the referee of the simulation judges."""

import pytest

from tests.simulation.cluster import ClusterWorld

STEPS = 300


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("seed", [*range(1, 11), 5089])
def test_every_promise_is_kept_over_links_that_break_and_nodes_that_die(seed, fails):
    ClusterWorld(seed, fails).run(STEPS)
