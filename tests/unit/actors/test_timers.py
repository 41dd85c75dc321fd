from hypothesis import given
from hypothesis import strategies as st

from rookery.actors.timers import TICK_SECONDS, Timed, Timers


class Alarm:
    def __init__(self, then=lambda now: None) -> None:
        self.rang: list[float] = []
        self.then = then

    def due(self, now: float) -> None:
        self.rang.append(now)
        self.then(now)


def refuse(timed: Timed, error: Exception) -> None:
    raise error


@given(
    start=st.floats(0, 1000),
    delay=st.floats(0, 50),
    steps=st.lists(st.floats(0.01, 3), min_size=60, max_size=60),
)
def test_never_early_and_a_tick_late_at_most(start, delay, steps):
    timers, alarm = Timers(start, refuse), Alarm()
    timers.at(start + delay, alarm)
    now = start
    for step in steps:
        before, now = now, now + step
        timers.advance(now, 10)
        if alarm.rang:
            assert now >= start + delay
            assert before < start + delay + TICK_SECONDS + 0.001
            break
    else:
        assert now < start + delay + TICK_SECONDS + 0.001
    timers.advance(now + 100, 10)
    assert len(alarm.rang) == 1


def test_what_is_due_already_is_called_in_the_next_tick():
    timers, alarm = Timers(10.5, refuse), Alarm()
    timers.at(3.0, alarm)
    timers.advance(10.6, 10)
    assert alarm.rang == []
    timers.advance(10.625, 10)
    assert alarm.rang == [10.625]


def test_a_long_pause_loses_nothing_and_keeps_the_order():
    order: list[str] = []
    timers = Timers(0.0, refuse)
    for name, when in (("late", 7.2), ("early", 2.1), ("middle", 5.0)):
        timers.at(when, Alarm(lambda now, name=name: order.append(name)))
    assert not timers.advance(100.0, 10)
    assert order == ["early", "middle", "late"]


def test_no_more_than_asked_for_at_once():
    timers = Timers(0.0, refuse)
    alarms = [Alarm() for _ in range(5)]
    for alarm in alarms:
        timers.at(1.0, alarm)
    assert timers.advance(2.0, 2), "three are left for the next turn"
    assert [len(alarm.rang) for alarm in alarms] == [1, 1, 0, 0, 0]
    assert timers.advance(2.0, 2)
    assert not timers.advance(2.0, 2)
    assert [len(alarm.rang) for alarm in alarms] == [1] * 5


def test_seconds_not_reached_yet_are_work_left():
    timers, first, second = Timers(0.0, refuse), Alarm(), Alarm()
    timers.at(1.0, first)
    timers.at(2.0, second)
    assert timers.advance(10.0, 1)
    assert (len(first.rang), len(second.rang)) == (1, 0)
    timers.advance(10.0, 1)
    assert len(second.rang) == 1


def test_who_is_called_may_ask_again():
    timers = Timers(0.0, refuse)
    alarm = Alarm(lambda now: timers.at(now + 1, alarm))
    timers.at(1.9, alarm)
    for second in range(1, 10):
        timers.advance(float(second), 10)
    assert alarm.rang == [2.0, 4.0, 6.0, 8.0]


def test_a_timed_without_a_deadline_is_none():
    failed: list[tuple[Timed, type]] = []
    timers = Timers(0.0, lambda timed, error: failed.append((timed, type(error))))
    nobody = object()
    timers.at(1.0, nobody)
    timers.advance(2.0, 10)
    assert failed == [(nobody, AttributeError)]


def test_one_that_fails_spoils_no_other():
    failed: list[tuple[Timed, str]] = []
    timers = Timers(0.0, lambda timed, error: failed.append((timed, str(error))))

    def fail(now: float) -> None:
        raise ValueError("broken")

    broken, sound = Alarm(fail), Alarm()
    timers.at(1.0, broken)
    timers.at(1.0, sound)
    timers.advance(2.0, 10)
    assert failed == [(broken, "broken")]
    assert sound.rang == [2.0]


def test_a_deadline_given_up_is_not_kept():
    timers, alarm, other = Timers(10.0, refuse), Alarm(), Alarm()
    timers.at(20.0, alarm)
    timers.at(20.0, other)
    timers.give_up(20.0, alarm)
    timers.give_up(30.0, alarm)
    timers.advance(21.0, 10)
    assert (alarm.rang, other.rang) == ([], [21.0])
    timers.at(40.0, alarm)
    timers.give_up(40.0, alarm)
    assert timers.waiting == 0
