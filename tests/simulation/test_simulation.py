"""Some seeds of the simulation on every run; ``python -m tests.simulation --seeds 1-2000`` has more."""

import pytest

from tests.simulation.ledger import Broken, Got, Ledger, Sent
from tests.simulation.script import profile, script
from tests.simulation.shrink import kind, shrink
from tests.simulation.world import World

STEPS = 300


@pytest.mark.parametrize("seed", range(1, 31))
def test_every_promise_is_kept(seed):
    World().run(script(seed, STEPS))


def test_a_seed_is_one_script():
    assert script(7, 100) == script(7, 100)
    assert script(7, 100) != script(8, 100)
    assert profile(3).fails
    assert profile(4).bursts


class TestTheReferee:
    def ledger(self):
        ledger = Ledger()
        message = Sent("c-1", "c", "n/a", 2, False, 1, ledger.tick())
        ledger.publish(message)
        return ledger, message, ledger.session("s", persistent=True)

    def test_notices_what_nobody_sent(self):
        ledger, _, seen = self.ledger()
        with pytest.raises(Broken, match="nobody sent"):
            ledger.deliver(seen, "n/a", "c-2", 1, False)

    def test_notices_what_nobody_subscribed_to(self):
        ledger, _, seen = self.ledger()
        with pytest.raises(Broken, match="older"):
            ledger.deliver(seen, "n/a", "c-1", 1, False)

    def test_notices_qos_2_twice(self):
        ledger, message, seen = self.ledger()
        seen.got = [Got(message, 2), Got(message, 2)]
        with pytest.raises(Broken, match="twice"):
            ledger.check_now(seen)

    def test_notices_disorder(self):
        ledger, message, seen = self.ledger()
        later = Sent("c-2", "c", "n/a", 2, False, 2, ledger.tick())
        seen.got = [Got(later, 2), Got(message, 2)]
        with pytest.raises(Broken, match="out of order"):
            ledger.check_now(seen)


def test_a_world_without_commits_loses_and_is_cut_down(monkeypatch):
    monkeypatch.setattr("tests.support.engine.Content.apply", lambda self, group, wall: None)
    events = script(2, 120)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        World().run(events)
    shorter = shrink(events)
    assert len(shorter) < 20
    with pytest.raises(Exception) as again:  # noqa: PT011
        World().run(shorter)
    assert kind(again.value) == kind(caught.value)
