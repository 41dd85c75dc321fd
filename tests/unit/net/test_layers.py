"""Layers stacked: what goes up, what goes down, and in which order."""

import pytest

from rookery.net.layers import Layer, LayerFault, LayerStack, stacked


class Tagging(Layer):
    """Takes lines off the stream and marks what it sends with its tag.

    ``!`` asks for an answer, ``#`` is a fault, ``$`` the peer's end; a line opens the layer.
    """

    def __init__(self, tag: bytes) -> None:
        super().__init__()
        self.tag = tag
        self.output = b""
        self.closed = False

    def receive(self, data: bytes) -> bytes:
        self.opened = True
        good, fault, _ = data.partition(b"#")
        self.output += b"?" * good.count(b"!")
        self.received_eof = b"$" in good
        clean = good.replace(b"!", b"")
        if fault:
            raise LayerFault(f"fault in {self.tag.decode()}", clean)
        return clean

    def send(self, data: bytes) -> bytes:
        return b"" if self.closed else self.take_output() + self._wrapped(data)

    def take_output(self) -> bytes:
        output, self.output = self.output, b""
        return self._wrapped(output)

    def close(self) -> bytes:
        last = b"" if self.closed else self.take_output() + self._wrapped(b".")
        self.closed = True
        return last

    def _wrapped(self, data: bytes) -> bytes:
        return self.tag + b"(" + data + b")" if data else b""


class Upper(Tagging):
    """Answers to ``^`` in place of ``!`` and finds fault with ``~``, so that a lower layer lets both pass."""

    def receive(self, data: bytes) -> bytes:
        return super().receive(data.translate(bytes.maketrans(b"^~", b"!#")))


def make_stack() -> LayerStack:
    return LayerStack([Tagging(b"a"), Upper(b"b")])


def test_a_plain_layer_passes_everything_through() -> None:
    layer = Layer()
    assert layer.receive(b"up") == b"up"
    assert layer.send(b"down") == b"down"
    assert layer.take_output() == layer.close() == b""


def test_no_layer_is_no_stack_and_one_is_itself() -> None:
    one = Tagging(b"a")
    assert stacked([]) is None
    assert stacked([one]) is one
    assert isinstance(stacked([one, Tagging(b"b")]), LayerStack)


def test_bytes_rise_through_all_layers_and_sink_through_them_in_reverse() -> None:
    stack = make_stack()
    assert stack.receive(b"data") == b"data"
    assert stack.send(b"x") == b"a(b(x))"


def test_output_of_an_upper_layer_passes_through_the_lower_one() -> None:
    stack = make_stack()
    stack.receive(b"^")
    assert stack.take_output() == b"a(b(?))"
    assert stack.take_output() == b""


def test_output_of_both_layers_keeps_its_order() -> None:
    stack = make_stack()
    stack.receive(b"!^")
    stack.receive(b"!")
    assert stack.take_output() == b"a(?)a(b(?))a(?)"


def test_send_puts_output_not_taken_yet_in_front() -> None:
    stack = make_stack()
    stack.receive(b"^")
    assert stack.send(b"x") == b"a(b(?))a(b(x))"
    assert stack.take_output() == b""


def test_the_upper_layer_is_not_bothered_with_nothing() -> None:
    upper = Upper(b"b")
    stack = LayerStack([Tagging(b"a"), upper])
    assert stack.receive(b"!") == b""
    assert not upper.opened


def test_the_stack_is_opened_when_all_layers_are() -> None:
    stack = make_stack()
    stack.receive(b"!")
    assert not stack.opened
    stack.receive(b"x")
    assert stack.opened


@pytest.mark.parametrize("layers", [[Upper(b"a"), Tagging(b"b")], [Tagging(b"a"), Upper(b"b")]])
def test_an_end_of_any_layer_is_an_end_of_the_stack_and_loses_nothing(layers: list[Layer]) -> None:
    stack = LayerStack(layers)
    assert (stack.receive(b"a"), stack.received_eof) == (b"a", False)
    assert (stack.receive(b"last$"), stack.received_eof) == (b"last$", True)
    stack.receive(b"more")
    assert stack.received_eof


def test_a_fault_below_hands_up_what_came_before_it_and_what_both_layers_say() -> None:
    stack = make_stack()
    with pytest.raises(LayerFault) as caught:
        stack.receive(b"good^!#lost")
    assert (caught.value.text, caught.value.received) == ("fault in a", b"good")
    assert stack.take_output() == b"a(?)a(b(?))"


def test_a_fault_above_keeps_what_came_before_it_and_its_output() -> None:
    stack = make_stack()
    with pytest.raises(LayerFault) as caught:
        stack.receive(b"good^~")
    assert (caught.value.text, caught.value.received) == ("fault in b", b"good")
    assert stack.take_output() == b"a(b(?))"


def test_of_two_faults_the_one_first_in_the_stream_is_told() -> None:
    with pytest.raises(LayerFault) as caught:
        make_stack().receive(b"good~ bad#")
    assert (caught.value.text, caught.value.received) == ("fault in b", b"good")


def test_close_says_goodbye_from_the_top_behind_the_output() -> None:
    stack = make_stack()
    stack.receive(b"^")
    assert stack.close() == b"a(b(?))a(b(.))a(.)"
    assert stack.close() == b""
    assert stack.send(b"late") == b""


def test_all_layers_are_released() -> None:
    released: list[str] = []

    class Noted(Layer):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def release(self) -> None:
            released.append(self.name)

    stack = stacked([Noted("low"), Noted("high")])
    assert stack is not None
    stack.release()
    assert sorted(released) == ["high", "low"]
