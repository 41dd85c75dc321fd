import pytest

from rookery.actors.scheduler import Actor, Scheduler


class Counter:
    """Keeps when it was stepped, and does then what it was asked to."""

    def __init__(self, then=lambda: None) -> None:
        self.steps: list[float] = []
        self.then = then

    def step(self, now: float) -> None:
        self.steps.append(now)
        self.then()


class Crashes:
    def __init__(self) -> None:
        self.seen: list[tuple[Actor, Exception]] = []
        self.scheduler = Scheduler(lambda actor, error: self.seen.append((actor, error)))


def test_every_ready_actor_steps_once():
    scheduler = Crashes().scheduler
    one, other = Counter(), Counter()
    scheduler.ready += [one, other]
    scheduler.run(5.0)
    scheduler.run(6.0)
    assert (one.steps, other.steps) == ([5.0], [5.0])


def test_what_becomes_ready_meanwhile_steps_in_the_same_turn():
    scheduler = Crashes().scheduler
    second = Counter()
    first = Counter(lambda: scheduler.ready.append(second))
    scheduler.ready.append(first)
    scheduler.run(5.0)
    assert second.steps == [5.0]
    assert scheduler.ready == []


def test_what_goes_on_later_waits_for_the_next_turn():
    scheduler = Crashes().scheduler
    actor = Counter()
    scheduler.later.append(actor)
    scheduler.run(5.0)
    assert actor.steps == []
    scheduler.begin_turn()
    scheduler.run(6.0)
    assert actor.steps == [6.0]
    scheduler.begin_turn()
    scheduler.run(7.0)
    assert actor.steps == [6.0]


def test_one_actor_s_fault_is_told_and_harms_no_other():
    crashes = Crashes()

    def fail() -> None:
        raise KeyError("ours")

    failing, healthy = Counter(fail), Counter()
    crashes.scheduler.ready += [failing, healthy]
    crashes.scheduler.run(5.0)
    assert healthy.steps == [5.0]
    ((actor, error),) = crashes.seen
    assert actor is failing
    assert isinstance(error, KeyError)


def test_the_end_of_the_process_is_nobody_s_fault():
    def interrupt() -> None:
        raise KeyboardInterrupt

    crashes = Crashes()
    crashes.scheduler.ready.append(Counter(interrupt))
    with pytest.raises(KeyboardInterrupt):
        crashes.scheduler.run(0.0)
    assert crashes.seen == []


def test_an_actor_without_a_step_is_none():
    crashes = Crashes()
    nobody, healthy = object(), Counter()
    crashes.scheduler.ready += [nobody, healthy]
    crashes.scheduler.run(5.0)
    assert [(actor, type(error)) for actor, error in crashes.seen] == [(nobody, AttributeError)]
    assert healthy.steps == [5.0]
