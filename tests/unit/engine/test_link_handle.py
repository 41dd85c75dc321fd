import pytest

from rookery.engine.link_handle import CLOSED, ClosedHandle, LinkHandle

ASKED = ("request_flush", "request_work", "close", "pause", "resume", "abort", "certificate")


@pytest.mark.parametrize("name", ASKED)
def test_the_network_must_provide_it(name):
    with pytest.raises(NotImplementedError):
        getattr(LinkHandle(), name)()


@pytest.mark.parametrize("name", ASKED)
def test_a_connection_that_is_gone_is_asked_in_vain(name):
    assert isinstance(CLOSED, ClosedHandle)
    assert getattr(CLOSED, name)() is None


def test_nothing_is_unsent_at_first():
    assert LinkHandle().unsent_bytes == 0
    assert CLOSED.unsent_bytes == 0
