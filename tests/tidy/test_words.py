"""No work is left behind in a comment, every clause named exists, every path named exists."""

import re
from pathlib import Path

import pytest

from tests.tidy.source import PACKAGE, ROOT, SRC, tracked_texts

LEFTOVER = re.compile(
    "|".join(rf"\b{a}{b}\b" for a, b in (("TO", "DO"), ("FIX", "ME"), ("X", "XX")))
)
TAG = re.compile(r"\[(MQTT-[^\]]*)\]")
IDENTIFIER = re.compile(r"MQTT-\d+(?:\.\d+)+-\d+")
LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)")
PATH = re.compile(r"`([\w.*-]+(?:/[\w.*-]+)*/?)`")


def tags(text: str) -> set[str]:
    """The clauses a text names: ``[MQTT-3.8.4-8]``, several with commas between."""
    return {tag.strip() for group in TAG.findall(text) for tag in group.split(",")}


def named_paths(text: str) -> set[str]:
    """The files a page links to, or names in backquotes with a folder or a Python suffix."""
    quoted = {path for path in PATH.findall(text) if "/" in path or path.endswith(".py")}
    return quoted | set(LINK.findall(text))


def exists(path: str) -> bool:
    """Whether a path stands in the repository, in ``src`` or in the package.

    The suffix of a module may be left out; a bare file name may stand anywhere in ``src``.
    """
    candidates = [path.rstrip("/"), f"{path}.py"]
    if "/" not in path:
        candidates.append(f"**/{path}")
    return any(
        next(base.glob(candidate), None) is not None
        for base in (ROOT, SRC, PACKAGE)
        for candidate in candidates
    )


def test_no_work_is_left_behind():
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_texts()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if LEFTOVER.search(line)
    ]
    assert found == []


def test_every_clause_named_in_the_source_exists():
    indexes = sorted((ROOT / "tests" / "conformance").glob("statements*"))
    if not indexes:
        pytest.skip("no index of statements (tests/conformance/statements.*): CLAUSES NOT CHECKED")
    known = {each for path in indexes for each in IDENTIFIER.findall(path.read_text())}
    unknown = [
        f"{path.relative_to(ROOT)}: {tag}"
        for path in sorted(SRC.rglob("*.py"))
        for tag in sorted(tags(path.read_text()) - known)
    ]
    assert unknown == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_every_path_a_page_names_exists(page: Path):
    missing = sorted(path for path in named_paths(page.read_text()) if not exists(path))
    assert missing == []


class TestTheRulesThemselves:
    def test_a_leftover_is_found(self):
        assert LEFTOVER.search("# TO" + "DO later")
        assert not LEFTOVER.search("a todo list")

    def test_tags_are_found_alone_and_together(self):
        assert tags("x [MQTT-3.8.4-8] y [MQTT-1.5.4-1, MQTT-1.5.4-2]") == {
            "MQTT-3.8.4-8",
            "MQTT-1.5.4-1",
            "MQTT-1.5.4-2",
        }

    def test_paths_are_found_in_links_and_quotes(self):
        text = "`engine/node.py` [a](docs/a.md) [b](https://b.example) `word` `setup.py` [c](#d)"
        assert named_paths(text) == {"engine/node.py", "docs/a.md", "setup.py"}

    def test_a_missing_path_is_noticed(self):
        assert exists("tests/tidy")
        assert exists("mqtt/types")
        assert exists("link_io.py")
        assert not exists("tests/absent.py")
