import pytest

from rookery_bench import wire
from rookery_bench.scenarios import SCENARIOS, Bursts, Saturating, Single, choose


def test_names_are_unique() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


def test_all_are_chosen_when_none_is_named() -> None:
    assert choose(None) == list(SCENARIOS)


def test_the_named_are_chosen_in_the_order_given() -> None:
    assert [scenario.name for scenario in choose("connect,qos0_1to1")] == ["connect", "qos0_1to1"]


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no case qos9, nope; there are qos0_1to1, "):
        choose("qos9,connect,nope")


def test_a_case_can_be_spoken_in_another_version() -> None:
    for scenario in SCENARIOS:
        assert scenario.with_version(wire.V5).load.version == wire.V5


def test_each_row_says_what_it_counts() -> None:
    units = {scenario.name: scenario.unit for scenario in SCENARIOS}
    assert units["qos1_paced"] == units["qos0_fanout"] == "us/msg"
    assert units["connect"] == "us/connect"
    assert units["idle_memory"] == "bytes/client"


def test_durable_rows_have_persistent_sessions_and_no_others() -> None:
    for scenario in SCENARIOS:
        load = scenario.load
        persistent = isinstance(load, Bursts | Single) or (
            isinstance(load, Saturating) and load.persistent
        )
        assert persistent == (scenario.durable is not None) == scenario.name.startswith("durable_")


def test_no_window_outgrows_the_packet_identifiers() -> None:
    for scenario in SCENARIOS:
        if isinstance(scenario.load, Saturating | Bursts):
            assert scenario.load.window < 65_535 / 2
