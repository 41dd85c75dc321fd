"""Trees of values with origins."""

import pytest

from rookery.config.errors import Origin
from rookery.config.schema import setting_at
from rookery.config.tree import Composer, Node, assign, locate, merge, path_of, to_data

ENV = Origin("environment", "E")


def compose(text: str) -> tuple[Node | None, list[str]]:
    composer = Composer(lambda line, column: Origin("file", "f", line, column))
    node = composer.compose(text)
    return node, [str(error) for error in composer.errors]


def tree(text: str) -> Node:
    node, errors = compose(text)
    assert errors == []
    assert node is not None
    return node


def place(node: Node, *path: str | int) -> str:
    found, exact = locate(node, path)
    return str(found.origin) + ("" if exact else " above")


def plain(node: Node) -> object:
    if isinstance(node.content, dict):
        return {key: plain(child) for key, child in node.content.items()}
    if isinstance(node.content, list):
        return [plain(child) for child in node.content]
    return node.content


def leaf(value: str | int | None) -> Node:
    return Node(value, ENV, ENV, str(value))


class TestComposing:
    def test_every_value_and_key_knows_its_place(self):
        node = tree("a:\n  b: [1,  x]\n")
        assert place(node, "a") == "f:2:3"
        assert place(node, "a", "b") == "f:2:6"
        assert place(node, "a", "b", 1) == "f:2:11"
        assert str(locate(node, ("a", "b"))[0].key_origin) == "f:2:3"

    def test_plain_values(self):
        node = tree("[1, 0x10, 1.5, true, null, ~, 2020-01-01, '5', a b, 0x_]")
        values = [1, 16, 1.5, True, None, None, "2020-01-01", "5", "a b", "0x_"]
        assert plain(node) == values

    def test_an_empty_text_is_no_tree(self):
        assert compose("# nothing\n") == (None, [])

    def test_aliases_and_merges(self):
        text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [{a: 9}, *x]}\nw: *x\n"
        assert plain(tree(text)) == {
            "x": {"a": 1, "b": 2},
            "y": {"a": 1, "b": 3},
            "z": {"a": 9, "b": 2},
            "w": {"a": 1, "b": 2},
        }

    def test_many_aliases_take_no_time(self):
        lines = ["a0: &a0 x"] + [f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 60)]
        assert to_data(tree("\n".join(lines))) == {f"a{n}": [] if n else "x" for n in range(60)}

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("a: 1\nb: 2\na: 3\n", "f:3:1: a: is given on line 1 already; keep one of the two"),
            ("a: [\n", "f:2:1: is not valid YAML: while parsing a flow node,"),
            ("a: b: c\n", "f:1:5: is not valid YAML: mapping values are not allowed here"),
            ("a: 1\n\tb: 2\n", "f:2:1: is not valid YAML: while scanning for the next token,"),
            ("a: *b\n", "f:1:4: is not valid YAML: found undefined alias 'b'"),
            ("a: 1\n---\nb: 1\n", "f:2:1: is not valid YAML: expected a single document"),
            ("a: 1\nb: \x01\n", "f:2:4: is not valid YAML: the character U+0001 may not"),
            ("? [a]\n: 1\n", "f:1:3: a key must be a plain word, not a list or mapping"),
            ("a: !!python/none x\n", "f:1:4: a: the tag tag:yaml.org,2002:python/none is not"),
            ("a: &a\n  b: *a\n", "f:1:4: a.b: refers to itself"),
            ("a: {<<: 1}\n", "f:1:9: a: << takes a mapping or a list of mappings"),
            ("[" * 5000, "f: is not valid YAML: it is nested too deeply"),
        ],
    )
    def test_what_is_wrong_has_a_place(self, text: str, error: str):
        _, errors = compose(text)
        assert len(errors) == 1
        assert errors[0].startswith(error), errors[0]

    def test_one_fault_does_not_hide_the_next(self):
        _, errors = compose("a: 1\na: 2\nb: 1\nb: 2\n")
        assert [error.split(" ")[0] for error in errors] == ["f:2:1:", "f:4:1:"]


class TestLaying:
    def test_mappings_join_and_all_else_replaces(self):
        below = tree("a: {x: 1, y: 2}\nb: [1, 2]\nc: 1\n")
        above = tree("a: {y: 3}\nb: [9]\n")
        merged = merge(below, above)
        assert plain(merged) == {"a": {"x": 1, "y": 3}, "b": [9], "c": 1}
        assert plain(below) == {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 1}

    def test_a_value_is_laid_at_a_path(self):
        node = assign(tree("a: {x: 1}\n"), ("a", "y"), leaf(2))
        node = assign(node, ("b", 0, "c"), leaf("v"))
        node = assign(node, ("b", 1), leaf(5))
        node = assign(node, ("b", 0, "d"), leaf(6))
        assert plain(node) == {"a": {"x": 1, "y": 2}, "b": [{"c": "v", "d": 6}, 5]}
        assert place(node, "a", "x") == "f:1:8"
        assert place(node, "a", "y") == "environment E"

    def test_a_list_has_no_holes(self):
        with pytest.raises(IndexError, match="the next free number is 1"):
            assign(tree("a: [1]\n"), ("a", 2), leaf(5))

    def test_what_stands_in_the_way_is_replaced(self):
        node = assign(tree("a: 5\nb:\n"), ("a", "x"), leaf(1))
        node = assign(node, ("b", "x"), leaf(1))
        assert plain(node) == {"a": {"x": 1}, "b": {"x": 1}}
        assert place(node, "b") == "environment E"


class TestData:
    def test_a_text_stays_as_it_was_written(self):
        setting = setting_at(("broker", "auth", "users", 0))
        node = tree("{username: 0123, password: yes}")
        assert to_data(node, setting) == {"username": "0123", "password": "yes"}

    def test_null_is_null_for_a_text_too(self):
        assert to_data(tree("{response_information: ~}"), setting_at(("mqtt",))) == {
            "response_information": None
        }

    def test_an_empty_section_or_list_is_as_if_it_were_not_there(self):
        assert to_data(tree("limits:\nlisteners:\nbroker: {auth: }\n")) == {"broker": {}}

    def test_a_wrong_place_is_kept_for_the_models_without_what_is_below(self):
        node = tree(
            "{x: {y: 1}, limits: [1], log: {level: [1], format: {a: 1}}, listeners: {a: 1}}"
        )
        log = {"level": [], "format": {}}
        assert to_data(node) == {"x": {}, "limits": [], "log": log, "listeners": {}}


def test_the_nearest_place_is_found_where_there_is_nothing():
    node = tree("a: {b: [1]}\n")
    assert place(node, "a", "c", "d") == "f:1:4 above"
    assert place(node, "a", "b", 7) == "f:1:8 above"


@pytest.mark.parametrize("text", ["listeners.0.port", "listeners[0].port"])
def test_paths_are_written_in_two_ways(text: str):
    assert path_of(text) == ("listeners", 0, "port")
