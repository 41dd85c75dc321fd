"""Columns."""

from rookery.cli.tables import columns


def test_each_column_is_as_wide_as_it_must_be():
    rows = [("a", 1, "x"), ("longer", 22_222, "")]
    assert columns(("one", "two", "three"), rows).split("\n") == [
        "one     two    three",
        "a       1      x",
        "longer  22222",
    ]


def test_no_rows():
    assert columns(("one", "two"), []) == "one  two"
