import pytest

from rookery.observe.health import Check, Health


def test_a_node_that_can_be_asked_lives_even_before_it_has_started() -> None:
    health = Health()
    health.add_check("committer", lambda: (False, "disk full"))
    assert health.live().ok


def test_the_startup_is_over_once_it_is_said_to_be() -> None:
    health = Health()
    assert health.startup().checks == (Check("startup", False, "under way"),)
    assert not health.startup().ok
    health.mark_started()
    assert health.startup().checks == (Check("startup", True, "done"),)
    assert health.startup().ok


def test_a_node_is_ready_when_it_has_started_and_every_check_holds() -> None:
    health = Health()
    state = {"listeners": (True, "2 open"), "committer": (True, "memory")}
    health.add_check("listeners", lambda: state["listeners"])
    health.add_check("committer", lambda: state["committer"])
    assert not health.ready().ok
    health.mark_started()
    assert health.ready().ok
    state["committer"] = (False, "disk full")
    assert not health.ready().ok
    assert health.ready().checks == (
        Check("startup", True, "done"),
        Check("listeners", True, "2 open"),
        Check("committer", False, "disk full"),
    )
    state["committer"] = (True, "memory")
    assert health.ready().ok


def test_everything_is_all_of_it() -> None:
    health = Health()
    health.add_check("listeners", lambda: (True, "2 open"))
    assert [check.name for check in health.everything().checks] == ["loop", "startup", "listeners"]
    assert not health.everything().ok
    health.mark_started()
    assert health.everything().ok


def test_the_answer_says_what_is_wrong() -> None:
    health = Health()
    health.mark_started()
    health.add_check("draining", lambda: (False, "the node is stopping"))
    assert health.ready().to_json() == {
        "status": "unavailable",
        "checks": [
            {"name": "startup", "ok": True, "detail": "done"},
            {"name": "draining", "ok": False, "detail": "the node is stopping"},
        ],
    }
    assert health.startup().to_json()["status"] == "ok"


def test_two_checks_of_one_name_are_a_bug() -> None:
    health = Health()
    health.add_check("listeners", lambda: (True, ""))
    with pytest.raises(AssertionError, match="two health checks named 'listeners'"):
        health.add_check("listeners", lambda: (True, ""))
