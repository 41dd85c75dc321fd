import pytest

from rookery.net.pollable import Pollable


@pytest.mark.parametrize(
    ("name", "given"), [("ready", (1, 0.0)), ("work", (0.0,)), ("flush", (0.0,))]
)
def test_the_owner_of_a_descriptor_must_answer(name, given):
    with pytest.raises(NotImplementedError):
        getattr(Pollable(), name)(*given)
