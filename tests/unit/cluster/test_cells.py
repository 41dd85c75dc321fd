"""Records of cells, and what several registers together say of one."""

import json

import pytest

from rookery.cluster.cells import CellRecord, Entry, RecordFault, Sighting, decode_record, sighting


def record(holder: str = "a", term: int = 1, beat: int = 1, boot: str = "") -> CellRecord:
    return CellRecord("a", holder, boot or f"boot of {holder}", term=term, beat=beat)


def seen(*records: CellRecord | int | None) -> Sighting:
    """What registers hold: a record, nothing (0), or it is not known (``None``)."""
    entries = [
        None if each is None else Entry(0, None) if isinstance(each, int) else Entry(7, each)
        for each in records
    ]
    found = sighting(entries)
    assert found is not None
    return found


class TestRecords:
    def test_one_comes_back(self):
        whole = CellRecord(
            "a", "b", "4f", 2, 3, 4, "adopting", "h:1", "h:2", ("a", "b"), "0.1", protocol=7
        )
        assert decode_record(whole.encode()) == whole

    def test_what_a_later_program_added_is_passed_over(self):
        told = {**json.loads(record().encode()), "colour": "blue"}
        assert decode_record(json.dumps(told).encode()) == record()

    def test_another_format_is_not_guessed_at(self):
        told = {**json.loads(record().encode()), "format": 2}
        with pytest.raises(RecordFault, match="format 2, and this program knows 1"):
            decode_record(json.dumps(told).encode())

    @pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format":1}', b"\xff"])
    def test_nonsense(self, data: bytes):
        with pytest.raises(RecordFault, match="no record of a cell"):
            decode_record(data)

    def test_a_state_nobody_knows(self):
        told = {**json.loads(record().encode()), "state": "asleep"}
        with pytest.raises(RecordFault, match="no record of a cell"):
            decode_record(json.dumps(told).encode())


class TestSightings:
    def test_nothing_anywhere(self):
        assert sighting([Entry(0, None), None, Entry(0, None)]) is None

    def test_the_last_beat_counts(self):
        assert seen(record(beat=3), record(beat=4), record(beat=3)).record.beat == 4

    def test_a_majority_counts_more_than_a_higher_term(self):
        found = seen(record(), record("b", term=2), record())
        assert found.record == record()
        assert found.confirmed
        assert found.term_max == 2

    def test_of_claims_that_all_failed_the_highest_counts(self):
        found = seen(record(), record("b", term=2), record("c", term=3))
        assert found.record.holder == "c"
        assert not found.confirmed

    def test_two_runs_of_one_node_are_two_claims(self):
        assert not seen(record(boot="1"), record(boot="2"), 0).confirmed

    @pytest.mark.parametrize(
        ("found", "contested"),
        [
            (seen(record(), record(), record()), False),
            (seen(record(), record(), 0), False),
            (seen(record(), record(), record("b", term=2)), True),
            (seen(record(), record(), record("b", term=1)), False),
            (seen(record("b"), 0, 0), True),
            (seen(record("a", boot="mine"), 0, 0), False),
            (seen(record("b", boot="mine"), 0, 0), True),
            (seen(record(), record(), record("a", term=2, boot="mine")), False),
        ],
    )
    def test_contested(self, found: Sighting, contested: bool):
        assert found.contested_by_others("a", "mine") is contested

    @pytest.mark.parametrize(
        ("found", "held"),
        [
            (seen(record("b"), record("b"), 0), True),
            (seen(record("b"), None, 0), True),
            (seen(record("b"), record(), 0), False),
            (seen(record("b"), record(), None), True),
            (seen(record("b"), record("c"), 0), False),
            (seen(record(), record(), None), False),
        ],
    )
    def test_held_by_others(self, found: Sighting, held: bool):
        assert found.may_be_held_by_others("a") is held
