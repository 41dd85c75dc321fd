"""A mapping that stays small inside, however large it is."""

import pytest

from rookery.routing.wide import PARTS, SPREAD_AT_KEYS, WideDict, part_of


def filled(count: int) -> WideDict[str, int]:
    wide: WideDict[str, int] = WideDict()
    for number in range(count):
        assert wide.put(f"key-{number}", number)
    return wide


SIZES = [1, 2, 100, SPREAD_AT_KEYS, SPREAD_AT_KEYS + 1, SPREAD_AT_KEYS + 5_000]


def all_keys(wide: WideDict[str, int]) -> list[str]:
    return [key for number in range(wide.part_count()) for key in wide.part_keys(number)]


def test_an_empty_one_has_nothing():
    wide: WideDict[str, int] = WideDict()
    values: list[int] = []
    wide.values_into(values)
    assert (wide.count, wide.get("key-0"), wide.pop("key-0"), values) == (0, None, None, [])
    assert (wide.part_count(), wide.part_keys(0), wide.part_keys(1)) == (1, [], [])


@pytest.mark.parametrize("size", SIZES)
def test_gives_back_what_was_put(size):
    wide = filled(size)
    assert wide.count == size
    assert all(wide.get(f"key-{number}") == number for number in range(size))
    assert wide.get("another") is None
    values = [-1]
    wide.values_into(values)
    assert values[0] == -1
    assert sorted(values[1:]) == list(range(size))


@pytest.mark.parametrize("size", SIZES)
def test_replaces_a_value(size):
    wide = filled(size)
    assert not wide.put("key-0", 42)
    assert (wide.count, wide.get("key-0")) == (size, 42)


@pytest.mark.parametrize("size", SIZES)
def test_pops_each_key_once_and_is_like_new_after_the_last(size):
    wide = filled(size)
    assert wide.pop("another") is None
    for number in range(size):
        assert wide.pop(f"key-{number}") == number
        assert wide.pop(f"key-{number}") is None
    assert wide.count == 0
    assert all_keys(wide) == []
    assert wide.part_count() == 1
    assert wide.put("key-0", 1)
    assert all_keys(wide) == ["key-0"]


@pytest.mark.parametrize("size", SIZES)
def test_its_parts_hold_each_key_once(size):
    wide = filled(size)
    assert sorted(all_keys(wide)) == sorted(f"key-{number}" for number in range(size))
    assert wide.part_count() == (1 if size <= SPREAD_AT_KEYS else PARTS)
    assert wide.part_keys(wide.part_count()) == []


def test_no_part_outgrows_the_others():
    wide = filled(100_000)
    average = 100_000 / PARTS
    sizes = [len(wide.part_keys(number)) for number in range(PARTS)]
    assert max(sizes) < 2 * average
    assert min(sizes) > average / 2


def test_the_keys_of_a_part_differ_in_the_bits_a_dict_looks_at():
    hashes = [hash(f"key-{number}") for number in range(100_000)]
    in_first_part = [each for each in hashes if part_of(each) == 0]
    assert len({each & 0xFF for each in in_first_part}) > 128


def test_a_key_stays_in_its_part_while_others_come_and_go():
    wide = filled(SPREAD_AT_KEYS + 1)
    before = {key: number for number in range(PARTS) for key in wide.part_keys(number)}
    for number in range(10_000):
        wide.pop(f"key-{number}")
        wide.put(f"other-{number}", number)
    after = {key: number for number in range(PARTS) for key in wide.part_keys(number)}
    assert all(after[key] == part for key, part in before.items() if key in after)


def test_takes_any_hash():
    assert all(0 <= part_of(value) < PARTS for value in (0, -1, 2**63 - 1, -(2**63), 2**62))
