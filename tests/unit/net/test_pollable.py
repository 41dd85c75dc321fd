import pytest

from rookery.net.acceptor import Acceptor
from rookery.net.link_io import LinkIO
from rookery.net.pollable import Pollable


@pytest.mark.parametrize("owner", [Acceptor, LinkIO])
@pytest.mark.parametrize("name", ["ready", "work", "flush"])
def test_the_owner_of_a_descriptor_must_answer(owner, name):
    assert Pollable in owner.__mro__, "else its calls would not be direct when compiled"
    assert getattr(owner, name) is not getattr(Pollable, name)
