"""What is said of NATS servers that cannot keep a log."""

import pytest

from rookery.cluster.requirements import server_faults

GOOD = {"version": "2.12.0", "jetstream": True, "max_payload": 8 << 20, "cluster": "c"}


def test_a_server_that_can():
    assert server_faults(GOOD, "a:4222", 3) == []
    assert server_faults({**GOOD, "version": "2.15.1-beta.1"}, "a:4222", 3) == []
    assert server_faults({**GOOD, "cluster": None}, "a:4222", 1) == []


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"version": "2.11.9"}, "is of version 2.11.9, and 2.12 or later is needed"),
        ({"version": "2.9.10"}, "is of version 2.9.10, and 2.12"),
        ({"version": None}, "is of version None, and 2.12"),
        ({"jetstream": False}, "has no JetStream: give it a jetstream block"),
        ({"max_payload": 1 << 20}, "takes messages of 1048576 bytes, and records of a log have up"),
        ({"max_payload": None}, "set max_payload: 8MB"),
        ({"cluster": None}, "stands alone and can keep no 3 copies"),
    ],
)
def test_one_that_cannot(changed: dict[str, object], text: str):
    (fault,) = server_faults({**GOOD, **changed}, "a:4222", 3)
    assert fault.startswith("the NATS server at a:4222 ")
    assert text in fault


def test_all_that_is_wrong_is_told_at_once():
    assert len(server_faults({}, "a:4222", 3)) == 4
