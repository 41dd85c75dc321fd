from rookery.engine.held_output import HeldOutput


def test_it_knows_what_it_waits_for():
    output = HeldOutput(3, 5, b"abc", 2)
    assert (output.group, output.forwarded) == (3, 5)
    assert (output.data, output.acknowledgements) == (b"abc", 2)
