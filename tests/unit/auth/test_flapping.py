from rookery.auth.flapping import Repeats


def test_one_too_many_within_the_window():
    repeats = Repeats(2, 10.0)
    assert [repeats.note("a", now) for now in (0.0, 1.0, 2.0)] == [False, False, True]
    assert repeats.note("a", 3.0) is False, "it begins anew"


def test_those_of_others_do_not_count():
    repeats = Repeats(1, 10.0)
    assert [repeats.note(key, 0.0) for key in "abcab"] == [False, False, False, True, True]


def test_a_window_ends():
    repeats = Repeats(2, 10.0)
    assert [repeats.note("a", now) for now in (0.0, 9.0, 10.0, 11.0)] == [False] * 4
    assert repeats.note("a", 12.0) is True


def test_windows_that_are_over_are_forgotten():
    repeats = Repeats(2, 10.0)
    for number in range(100):
        repeats.note(str(number), float(number))
    assert len(repeats) == 10


def test_the_table_is_bounded():
    repeats = Repeats(5, 10.0, entries_max=3)
    for key in "abcd":
        repeats.note(key, 0.0)
    assert len(repeats) == 3
