"""Every normative statement of both standards has a test that shows it, or a reason why it has none.

``statements.toml`` lists the identifiers and the reasons; the tests name what they show by the marker
``clause``. Here both are held against each other.
"""

import ast
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def listed(table: dict) -> set[str]:
    """All statements of the table, each behind the version of its document."""
    return {f"{version}:{one}" for version, ids in table["statements"].items() for one in ids}


def excused(table: dict) -> list[str]:
    """The statements that a reason stands for."""
    return [one for entry in table["not_applicable"] for one in entry["ids"]]


def tagged(source: str) -> set[str]:
    """What the ``clause`` markers in a test file name, on functions and on parameters alike."""
    return {
        ast.literal_eval(argument)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "clause"
        for argument in node.args
    }


def disagreements(known: set[str], excuses: Iterable[str], shown: set[str]) -> list[str]:
    """Where the table and the tests part, in words."""
    excuses = list(excuses)
    return [
        *(f"{one} has neither a test nor a reason" for one in sorted(known - shown - {*excuses})),
        *(f"{one} has both a test and a reason" for one in sorted(shown & {*excuses})),
        *(f"{one} is no statement, but a test names it" for one in sorted(shown - known)),
        *(f"{one} is no statement, but has a reason" for one in sorted({*excuses} - known)),
        *(f"{one} has two reasons" for one in sorted({*excuses}) if excuses.count(one) > 1),
    ]


@pytest.fixture(scope="module")
def table():
    return tomllib.loads((HERE / "statements.toml").read_text())


def test_table_and_tests_agree(table):
    shown = set().union(*(tagged(path.read_text()) for path in HERE.glob("test_*.py")))
    assert disagreements(listed(table), excused(table), shown) == []


def test_the_table_is_whole(table):
    """As many statements as the two documents list in their appendices, none twice, reasons given."""
    counts = {version: len(ids) for version, ids in table["statements"].items()}
    assert counts == {"3.1.1": 141, "5.0": 251}
    assert len(listed(table)) == 141 + 251
    assert all(entry["reason"] and entry["ids"] for entry in table["not_applicable"])


@pytest.mark.parametrize(
    ("excuses", "shown", "words"),
    [
        ([], {"a"}, "b has neither"),
        (["a", "b"], {"a"}, "a has both"),
        (["a", "b"], {"c"}, "c is no statement, but a test"),
        (["a", "b", "c"], set(), "c is no statement, but has"),
        (["a", "b", "b"], set(), "b has two"),
    ],
)
def test_every_disagreement_is_found(excuses, shown, words):
    (found,) = disagreements({"a", "b"}, excuses, shown)
    assert found.startswith(words)


def test_markers_of_functions_and_parameters_are_found():
    source = (
        "@pytest.mark.clause('1')\ndef f(): pytest.param(1, marks=pytest.mark.clause('2', '3'))"
    )
    assert tagged(source) == {"1", "2", "3"}
