"""SECURITY.md names tests that exist, down to the function, and enough of them."""

import ast
import re

import pytest

from tests.abuse.attacks import ATTACKS
from tests.tidy.source import ROOT

PAGE = ROOT / "SECURITY.md"
NAMED = re.compile(r"`((?:tests|fuzz)/[\w./-]*(?:::\w+)*)`")


def named_tests(text: str) -> list[str]:
    """The tests a text names in backquotes, as pytest would take them."""
    return sorted(set(NAMED.findall(text)))


def fault(named: str) -> str:
    """Why a test that is named does not exist; empty when it does."""
    name, *inside = named.split("::")
    path = ROOT / name
    if not path.exists():
        return f"{name} does not exist"
    if not inside:
        return ""
    if path.suffix != ".py" or not path.name.startswith("test_"):
        return f"{name} is no file of tests"
    return fault_within(ast.parse(path.read_text()), inside)


def fault_within(tree: ast.Module, inside: list[str]) -> str:
    """Why a class, or a test within it, is not in a module; empty when it is."""
    body = tree.body
    kind: type | tuple[type, ...] = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for name in inside:
        found = [each for each in body if isinstance(each, kind) and each.name == name]
        if not found:
            return f"there is no {name}"
        if not name.startswith(("test_", "Test")):
            return f"{name} is no test"
        body = found[0].body
    return ""


def threats(text: str) -> list[tuple[str, str]]:
    """Of the tables of threats, what each row is about and what it says to be covered by."""
    _, _, section = text.partition("\n## Threats")
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ")]
    return [(row[1].strip(), row[3]) for row in rows if row[1].strip() != "threat"]


@pytest.mark.parametrize("named", named_tests(PAGE.read_text()))
def test_every_test_named_exists(named: str):
    assert fault(named) == ""


def test_every_attack_named_exists():
    spoken = re.findall(r"attacks? (`.*?`) of `tests/abuse`", PAGE.read_text())
    named = {name for each in spoken for name in re.findall(r"`(\w+)`", each)}
    assert named == set(ATTACKS), "the page names every attack of tests/abuse and no other"


def test_every_threat_names_a_test_or_says_that_there_is_none():
    found = threats(PAGE.read_text())
    assert len(found) > 30
    assert [threat for threat, by in found if not named_tests(by) and "no test" not in by] == []


class TestTheRulesThemselves:
    def test_what_is_named(self):
        text = "`tests/a/test_b.py::TestC::test_d` and `fuzz/node`, `src/x.py`, tests/z"
        assert named_tests(text) == ["fuzz/node", "tests/a/test_b.py::TestC::test_d"]

    def test_what_is_a_threat(self):
        text = (
            "| x | y | z |\n\n## Threats\n\n| threat | by | test |\n|---|---|---|\n| a | b | c |\n"
        )
        assert threats(text) == [("a", " c ")]

    @pytest.mark.parametrize(
        ("named", "told"),
        [
            ("tests/tidy/test_security.py::test_every_test_named_exists", ""),
            ("tests/tidy/test_security.py::TestTheRulesThemselves::test_what_is_named", ""),
            ("tests/abuse", ""),
            ("tests/absent", "tests/absent does not exist"),
            ("tests/tidy::test_a", "tests/tidy is no file of tests"),
            ("tests/tidy/test_security.py::test_absent", "there is no test_absent"),
            ("tests/tidy/test_security.py::fault", "fault is no test"),
        ],
    )
    def test_what_is_missing(self, named: str, told: str):
        assert fault(named) == told
