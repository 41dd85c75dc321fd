"""The positions of one session against a naive model: a dict of what became of each."""

import random

from hypothesis import given
from hypothesis import strategies as st

from rookery.session.owed import Owed

WAITING, OUT, PASSED_ON, FINISHED = "waiting", "out", "passed on", "finished"
EVERYTHING = 1 << 62
BEGIN = 100


class Model:
    """What was told, and what became of it."""

    def __init__(self) -> None:
        self.owed = Owed(BEGIN)
        self.state: dict[int, str] = {}
        self.next = BEGIN

    def tell(self, straight: bool) -> None:
        """One more message, sent at once or left in the backlog."""
        position, self.next = self.next, self.next + 3
        if straight and WAITING not in self.state.values():
            self.owed.take_out(position)
            self.state[position] = OUT
        else:
            self.owed.backlog.append(position, 1)
            self.state[position] = WAITING

    def take(self, count: int) -> None:
        """Read back some."""
        for position, _ in self.owed.backlog.take(count, EVERYTHING):
            assert self.state[position] == WAITING
            self.owed.take_out(position)
            self.state[position] = OUT

    def finish(self, chance: int) -> None:
        """An acknowledgement, of any that is out."""
        out = [position for position, state in self.state.items() if state == OUT]
        if out:
            position = random.Random(chance).choice(out)
            self.owed.finish(position)
            self.state[position] = FINISHED

    def pass_on(self, chance: int) -> None:
        """Another session is to be owed any that is out."""
        out = [position for position, state in self.state.items() if state == OUT]
        if out:
            position = random.Random(chance).choice(out)
            self.owed.pass_on(position)
            self.state[position] = PASSED_ON

    def know(self, kept: bool) -> None:
        """That is kept, or not."""
        for position, state in self.state.items():
            if state == PASSED_ON:
                self.owed.end_passing_on(position)
                if kept:
                    self.owed.finish(position)
                self.state[position] = FINISHED if kept else OUT

    def unfinished(self) -> set[int]:
        return {position for position, state in self.state.items() if state != FINISHED}

    def check(self) -> None:
        """The cursor and what is finished beyond it say exactly what is finished, or passed on."""
        cursor = self.owed.cursor()
        beyond = self.owed.finished_beyond(cursor)
        assert beyond == sorted(beyond)
        told = {position for position in self.state if position < cursor or position in beyond}
        passed_on = {position for position, state in self.state.items() if state == PASSED_ON}
        assert set(self.state) - told == self.unfinished() - passed_on
        assert passed_on <= set(self.owed.on_their_way())

    def restart(self) -> None:
        """Another process goes on from what was kept; QoS 2 under way goes first."""
        before = self.owed
        for position, state in self.state.items():
            if state == PASSED_ON:
                self.state[position] = FINISHED
        cursor = before.cursor()
        self.owed = Owed(self.next)
        self.owed.start_at(cursor, before.finished_beyond(cursor))
        for position, state in self.state.items():
            assert self.owed.was_finished(position) == (state == FINISHED)
        for position, state in self.state.items():
            if state == OUT and position % 2:
                self.owed.take_out_early(position)
            elif state != FINISHED:
                self.owed.backlog.append(position, 1)
                self.state[position] = WAITING


events = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.booleans()),
        st.tuples(st.just("take"), st.integers(1, 4)),
        st.tuples(st.just("finish"), st.integers(0, 99)),
        st.tuples(st.just("pass_on"), st.integers(0, 99)),
        st.tuples(st.just("know"), st.booleans()),
    ),
    max_size=60,
)


def play(model: Model, script: list[tuple[str, int]]) -> None:
    for name, argument in script:
        getattr(model, name)(argument)
        model.check()


@given(events)
def test_progress_says_exactly_what_is_finished(script):
    model = Model()
    play(model, script)
    assert set(model.owed.outstanding()) == model.unfinished()
    assert model.owed.backlog.count == 0


@given(events, events, events)
def test_after_restarts_as_well(first, then, last):
    model = Model()
    play(model, first)
    model.restart()
    model.check()
    play(model, then)
    model.restart()
    play(model, last)
    assert set(model.owed.outstanding()) == model.unfinished()


@given(events)
def test_nothing_is_remembered_when_all_is_finished(script):
    model = Model()
    play(model, script)
    model.know(kept=True)
    model.take(len(model.state))
    for position in sorted(model.unfinished(), reverse=True):
        model.owed.finish(position)
    cursor = model.owed.cursor()
    assert cursor > max(model.state, default=0)
    assert model.owed.finished_beyond(cursor) == []
    assert model.owed.outstanding() == []


@given(events)
def test_what_is_on_its_way_is_all_that_is_left_but_for_the_backlog(script):
    model = Model()
    play(model, script)
    backlog = {position for position, _ in model.owed.backlog.take(10_000, 1 << 62)}
    assert set(model.owed.on_their_way()) == model.unfinished() - backlog
