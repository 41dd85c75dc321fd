import pytest

from rookery.auth.anonymous import ALLOW, DENY, LOOPBACK, admitted, is_loopback, why_not
from rookery.ports import Attempt, Principal

HERE = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""]
ELSEWHERE = ["192.0.2.7", "10.127.0.1", "1127.0.0.1", "::2", "fe80::1", "::ffff:192.0.2.7", "::10"]


@pytest.mark.parametrize("address", HERE)
def test_this_machine(address: str):
    assert is_loopback(address)
    assert why_not(LOOPBACK, address) is None


@pytest.mark.parametrize("address", ELSEWHERE)
def test_other_machines(address: str):
    assert not is_loopback(address)
    assert "from this machine only" in (why_not(LOOPBACK, address) or "")


@pytest.mark.parametrize("address", [*HERE, *ELSEWHERE])
def test_nobody_and_everybody(address: str):
    assert why_not(ALLOW, address) is None
    assert "not let in" in (why_not(DENY, address) or "")


def test_the_name_that_an_anonymous_client_gives_is_not_believed():
    attempt = Attempt("c", "ann", b"x", "192.0.2.7", "tcp")
    assert admitted(attempt).principal == Principal(None, "c", "192.0.2.7", "tcp")
