"""Share groups are fair, whoever comes, goes, attaches or detaches."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rookery.routing.shared import (
    LEAST_INFLIGHT,
    RANDOM,
    ROUND_ROBIN,
    STICKY,
    STRATEGIES,
    ShareGroup,
)
from rookery.routing.subscriber import Subscription, recipient_of
from tests.support.subscribers import FakeSession

SUBSCRIPTION = Subscription("t", 1)
CHANCES = st.integers(0, 2**64)


class GroupMachine(RuleBasedStateMachine):
    """Any strategy: one of the members that may, and the best of them."""

    @initialize(strategy=st.sampled_from(STRATEGIES))
    def begin(self, strategy):
        self.strategy = strategy
        self.group = ShareGroup("g", "t", strategy)
        self.members: list[FakeSession] = []
        self.stuck_to: FakeSession | None = None
        # How often each was picked since members last changed.
        self.turns: Counter[FakeSession] = Counter()

    @rule(attached=st.booleans(), inflight=st.integers(0, 3))
    def join(self, attached, inflight):
        session = FakeSession(str(len(self.members)), attached, inflight)
        assert self.group.put(recipient_of(session, SUBSCRIPTION))
        assert not self.group.put(recipient_of(session, SUBSCRIPTION))
        self.members.append(session)
        self.turns.clear()

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def leave(self, data):
        session = self.member(data)
        assert self.group.remove(session)
        assert not self.group.remove(session)
        self.members.remove(session)
        self.turns.clear()
        if self.stuck_to is session:
            self.stuck_to = None

    @precondition(lambda self: self.members)
    @rule(data=st.data(), attached=st.booleans(), inflight=st.integers(0, 3))
    def change(self, data, attached, inflight):
        session = self.member(data)
        session.attached = attached
        session.inflight = inflight
        self.turns.clear()

    @rule(data=st.data(), chance=CHANCES)
    def pick_another(self, data, chance):
        excluded = self.member(data) if self.members else FakeSession("stranger")
        self.pick(chance, excluded)
        self.turns.clear()

    @rule(chances=st.lists(CHANCES, max_size=20))
    def pick_some(self, chances):
        for chance in chances:
            picked = self.pick(chance, None)
            if picked is not None:
                self.turns[picked] += 1
        if self.strategy == ROUND_ROBIN and self.turns:
            eligible = self.eligible(None)
            counts = [self.turns[session] for session in eligible]
            assert max(counts) - min(counts) <= 1

    def member(self, data) -> FakeSession:
        return data.draw(st.sampled_from(self.members))

    def eligible(self, excluded) -> list[FakeSession]:
        others = [session for session in self.members if session is not excluded]
        return [session for session in others if session.attached] or others

    def pick(self, chance, excluded) -> FakeSession | None:
        assert self.group.member_count() == len(self.members)
        recipient = self.group.pick(chance, excluded)
        eligible = self.eligible(excluded)
        if recipient is None:
            assert eligible == []
            return None
        picked = recipient.subscriber
        assert picked in eligible
        if self.strategy == LEAST_INFLIGHT and picked.attached:
            assert picked.inflight == min(session.inflight for session in eligible)
        if self.strategy == STICKY:
            assert picked is self.stuck_to or self.stuck_to not in eligible
            self.stuck_to = picked
        return picked


TestGroup = GroupMachine.TestCase
TestGroup.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(0, 1000))
def test_random_is_even_over_all_chances(attached, start):
    group = ShareGroup("g", "t", RANDOM)
    sessions = [FakeSession(str(number), each) for number, each in enumerate(attached)]
    for session in sessions:
        group.put(recipient_of(session, SUBSCRIPTION))
    eligible = [session for session in sessions if session.attached] or sessions
    period = len(sessions) * len(eligible)
    first = start * period
    counts = Counter(group.pick(chance).subscriber for chance in range(first, first + period))
    assert counts.keys() == set(eligible)
    assert len(set(counts.values())) == 1
