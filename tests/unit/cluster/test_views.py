"""Who is alive, who is to adopt a cell, and who steps down, as scripts of what the registers say."""

from dataclasses import replace

import pytest

from rookery.cluster.cells import CellRecord, Entry, Sighting, State, sighting
from rookery.cluster.views import Silences, Views, differs, largest_connected


class Registry:
    """What the registers hold; reads take a tenth of a second."""

    def __init__(self, *node_ids: str, me: str = "a") -> None:
        self.views = Views(me)
        self.now = 100.0
        self.records: dict[str, CellRecord] = {}
        self.sequence = 0
        self.sequences: dict[str, tuple[int, ...]] = {}
        for node_id in node_ids:
            self.set(CellRecord(node_id, node_id, f"boot of {node_id}", state="up", sees=node_ids))

    def set(self, record: CellRecord) -> None:
        self.records[record.node_id] = record
        self.sequence += 1
        self.sequences[record.node_id] = (self.sequence,) * 3

    def beat(self, *node_ids: str) -> None:
        for node_id in node_ids:
            record = self.records[node_id]
            self.set(replace(record, beat=record.beat + 1))

    def change(self, node_id: str, **changed: object) -> None:
        self.set(replace(self.records[node_id], **changed))

    def sightings(self) -> dict[str, Sighting]:
        found = {}
        for cell, record in self.records.items():
            seen = sighting([Entry(sequence, record) for sequence in self.sequences[cell]])
            assert seen is not None
            found[cell] = seen
        return found

    def look(self, seconds: float = 0.5, *beating: str) -> list[str]:
        """Let time pass, some nodes beat, and look; what changed in brief."""
        self.now += seconds
        self.beat(*beating)
        events = self.views.look(self.sightings(), self.now, self.now + 0.1)
        return [f"{event.kind} {event.record.node_id}" for event in events]

    def mine(self, *adopting: str) -> list[str]:
        return [seen.record.node_id for seen in self.views.to_adopt(adopting)]

    def silent(self, seconds: float, *beating: str) -> None:
        for _ in range(round(seconds / 0.5)):
            self.look(0.5, *beating)


def test_nodes_come_change_and_go():
    registry = Registry("a", "b", "c")
    assert registry.look() == ["joined b", "joined c"]
    assert registry.look(0.5, "a", "b", "c") == []
    registry.change("b", state="leaving")
    assert registry.look(0.5, "a", "c") == ["changed b"]
    registry.change("b", state="left")
    assert registry.look(0.5, "a", "c") == ["dead b"]
    registry.change("b", state="joining", boot="another")
    assert registry.look(0.5, "a", "c") == ["joined b"]
    registry.change("b", state="adopted", holder="c")
    assert registry.look(0.5, "a", "c") == ["dead b", "adopted b"]
    assert registry.look(0.5, "a", "c") == []


def test_silence_counts_from_when_it_was_first_seen_to_when_it_was_last():
    registry = Registry("a", "b")
    registry.look()
    registry.silent(2.0, "a")
    # 2.5 seconds since the last beat, but the read that showed it took a tenth of one.
    assert registry.look(0.5, "a") == []
    assert registry.look(0.1, "a") == ["dead b"]
    assert registry.look(0.1, "a", "b") == ["joined b"]


def test_a_change_in_any_register_is_a_sign_of_life():
    registry = Registry("a", "b")
    registry.look()
    registry.silent(2.0, "a")
    registry.sequences["b"] = (*registry.sequences["b"][:2], 99)
    registry.look(0.6, "a")
    registry.silent(2.0, "a")
    assert [each.node_id for each in registry.views.living()] == ["a", "b"]


def test_reads_that_fail_let_nobody_seem_silent():
    silences = Silences()
    seen = Registry("b").sightings()
    silences.look(seen, 10.0, 10.1)
    assert silences.of("b") == 0.0
    # Nothing was read until here, and what is there now may have been written just before.
    silences.look(Registry("a", "b").sightings(), 20.0, 20.1)
    assert silences.of("b") == 0.0
    assert silences.of("absent") == 0.0


def test_after_a_pause_of_ours_silence_begins_again():
    registry = Registry("a", "b", "c")
    registry.look()
    registry.silent(2.0, "a")
    registry.views.begin_again(registry.now)
    registry.look(0.6, "a")
    assert registry.mine() == []
    registry.silent(2.0, "a")
    assert registry.mine() == ["b", "c"]


class TestAdoption:
    def test_the_first_living_node_adopts_at_once_the_next_ones_later(self):
        registries = {me: Registry("a", "b", "c", "d", me=me) for me in ("a", "b", "c")}
        for registry in registries.values():
            registry.look()
            registry.silent(3.0, "a", "b", "c")
        assert {me: each.mine() for me, each in registries.items()} == {
            "a": ["d"],
            "b": [],
            "c": [],
        }
        registries["b"].silent(1.0, "a", "b", "c")
        assert registries["b"].mine() == ["d"]
        registries["c"].silent(1.0, "a", "b", "c")
        assert registries["c"].mine() == []
        registries["c"].silent(1.0, "a", "b", "c")
        assert registries["c"].mine() == ["d"]

    def test_nobody_who_is_not_up_adopts(self):
        registry = Registry("a", "b")
        registry.change("a", state="joining")
        registry.look()
        registry.silent(5.0, "a")
        assert registry.mine() == []

    @pytest.mark.parametrize("state", ["joining", "up", "leaving", "left"])
    def test_in_whatever_state_it_fell_silent(self, state: State):
        registry = Registry("a", "b")
        registry.change("b", state=state)
        registry.look()
        registry.silent(3.0, "a")
        assert registry.mine() == ["b"]
        assert registry.mine("b") == []

    def test_what_another_living_node_adopts_is_left_to_it(self):
        registry = Registry("a", "b", "c")
        registry.change("b", state="adopting", holder="c")
        registry.look()
        registry.silent(5.0, "a", "c")
        assert registry.mine() == []
        registry.silent(3.0, "a")
        assert registry.mine() == ["b", "c"]

    def test_what_was_adopted_stays(self):
        registry = Registry("a", "b", "c")
        registry.change("b", state="adopted", holder="c")
        registry.look()
        registry.silent(5.0, "a")
        assert registry.mine() == ["c"]

    def test_a_claim_of_ours_that_succeeded_unnoticed_is_made_again(self):
        registry = Registry("a", "b", "c", me="c")
        registry.change("b", state="adopting", holder="c")
        registry.look()
        registry.silent(2.0, "a", "c")
        assert registry.mine() == []
        registry.silent(1.0, "a", "c")
        assert registry.mine("b") == []
        assert registry.mine() == ["b"]


class TestSteppingDown:
    def test_whoever_is_apart_for_long_steps_down(self):
        registry = Registry("a", "b", "c", me="c")
        registry.look()
        registry.change("c", sees=("b",))
        registry.change("a", sees=("b",))
        registry.look(0.5, "a", "b", "c")
        registry.silent(2.5, "a", "b", "c")
        assert not registry.views.must_step_down()
        registry.silent(0.5, "a", "b", "c")
        assert registry.views.must_step_down()

    def test_a_link_that_comes_back_in_time_saves_it(self):
        registry = Registry("a", "b", "c", me="c")
        registry.look()
        for sees in ((), ("a", "b"), ()):
            registry.change("c", sees=sees)
            registry.silent(2.5, "a", "b", "c")
            assert not registry.views.must_step_down()

    def test_who_is_in_the_set_stays_and_so_does_who_is_alone(self):
        registry = Registry("a", "b", me="a")
        registry.change("b", sees=())
        registry.look()
        registry.silent(5.0, "a", "b")
        assert not registry.views.must_step_down()
        registry.silent(5.0, "a")
        assert not registry.views.must_step_down()

    def test_who_is_joining_has_no_links_yet(self):
        registry = Registry("a", "b", "c", me="c")
        registry.change("c", state="joining", sees=())
        registry.look()
        registry.silent(5.0, "a", "b", "c")
        assert not registry.views.must_step_down()


@pytest.mark.parametrize(
    ("sees", "largest"),
    [
        ({}, ""),
        ({"a": ""}, "a"),
        ({"a": "", "b": ""}, "a"),
        ({"a": "b", "b": ""}, "a"),
        ({"a": "b", "b": "a", "c": ""}, "ab"),
        ({"a": "b", "b": "ac", "c": "b"}, "ab"),
        ({"a": "bc", "b": "ac", "c": "ab"}, "abc"),
        ({"a": "e", "b": "cd", "c": "bd", "d": "bc", "e": "a"}, "bcd"),
        ({"a": "bcd", "b": "acd", "c": "ab", "d": "ab"}, "abc"),
    ],
)
def test_the_largest_set_of_linked_nodes(sees: dict[str, str], largest: str):
    assert "".join(largest_connected(sees)) == largest


def test_a_beat_is_no_change():
    record = CellRecord("a", "a", "1")
    assert not differs(record, replace(record, beat=5, term=2))
    assert differs(record, replace(record, sees=("b",)))
