from rookery.engine.references import References, mostly_live
from rookery.records import position_of


def stored(*blocks: int, entries: int = 4, count: int = 1, size_bytes: int = 400) -> References:
    references = References()
    for block in blocks:
        for index in range(entries):
            references.add(position_of(block, index), count)
        references.weigh(block, entries, size_bytes, 0)
    return references


def test_a_block_is_held_until_its_last_reference_is_gone():
    references = stored(1, entries=2, count=2)
    assert [references.remove(position_of(1, index)) for index in (0, 1, 1)] == [False] * 3
    assert references.holds(1)
    assert references.remove(position_of(1, 0))
    assert not references.holds(1)
    assert (references.stored_bytes, references.loose_bytes, references.blocks()) == (0, 0, [])


def test_each_reference_that_is_gone_loosens_its_share():
    references = stored(1, 2, count=2)
    assert (references.stored_bytes, references.loose_bytes) == (800, 0)
    references.remove(position_of(1, 3))
    assert references.loose_bytes == 50
    assert not references.worth_a_look(1)
    references.remove(position_of(1, 3))
    assert references.loose_bytes == 100
    assert references.worth_a_look(1)
    assert not references.worth_a_look(2)
    for index in (0, 0, 1, 1, 2, 2):
        references.remove(position_of(1, index))
    assert (references.stored_bytes, references.loose_bytes) == (400, 0)
    assert not references.worth_a_look(1)


def test_what_is_left_weighs_less():
    references = stored(1)
    for index in (0, 1):
        references.remove(position_of(1, index))
    references.reduce(1, 2)
    assert (references.stored_bytes, references.loose_bytes) == (200, 0)
    references.remove(position_of(1, 2))
    assert references.loose_bytes == 100
    references.reduce(1, 1)
    assert references.blocks() == [], "one alone goes with its last reference"
    assert (references.stored_bytes, references.loose_bytes) == (0, 0)
    assert references.remove(position_of(1, 3))


def test_a_block_that_is_gone_is_not_reduced():
    references = stored(1, entries=2)
    references.remove(position_of(1, 0))
    references.remove(position_of(1, 1))
    references.reduce(1, 1)
    assert (references.stored_bytes, references.blocks()) == (0, [])


def test_what_nobody_refers_to_or_is_alone_has_no_weight():
    references = References()
    references.weigh(1, 9, 900, 0)
    references.add(position_of(2, 0), 5)
    references.weigh(2, 1, 100, 0)
    assert (references.stored_bytes, references.blocks()) == (0, [])


def test_what_is_known_to_be_dead_at_the_start_is_loose():
    references = References()
    references.add(position_of(1, 0), 1)
    references.weigh(1, 10, 1_000, 900)
    assert (references.stored_bytes, references.loose_bytes) == (1_000, 900)
    assert references.worth_a_look(1)
    references.remove(position_of(1, 0))
    assert (references.stored_bytes, references.loose_bytes) == (0, 0)


def test_three_quarters_are_worth_nothing():
    assert not mostly_live(3, 4)
    assert mostly_live(4, 5)
