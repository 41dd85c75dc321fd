import pytest

from rookery.app.reload import Reload
from rookery.config.models import Config
from tests.support.node import config


def test_a_section_that_nobody_takes_up_needs_a_restart() -> None:
    reload = Reload(config())
    assert reload.apply(config()) == []
    changed = config(**{"limits.inflight_max": 7, "broker.node_id": "b"})
    assert reload.apply(changed) == ["broker", "limits"]


def test_an_action_says_what_it_could_not_take_up() -> None:
    reload = Reload(config())
    seen: list[Config] = []

    def limits(wanted: Config) -> list[str]:
        seen.append(wanted)
        return ["limits.inflight_max"] if wanted.limits.inflight_max == 7 else []

    reload.add("limits", limits)
    changed = config(**{"limits.inflight_max": 7})
    assert reload.apply(changed) == ["limits.inflight_max"]
    assert reload.apply(config()) == []  # It is called even when nothing changed: files may have.
    assert seen == [changed, config()]


def test_a_section_has_one_action_and_exists() -> None:
    reload = Reload(config())
    reload.add("log", lambda _: [])
    with pytest.raises(AssertionError):
        reload.add("log", lambda _: [])
    with pytest.raises(AssertionError):
        reload.add("logs", lambda _: [])
