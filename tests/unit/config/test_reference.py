"""The generated page."""

import subprocess
import sys
from pathlib import Path

from rookery.config.reference import reference
from rookery.config.schema import ENTRY, ROOT, walk

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"


def test_the_page_in_the_repository_is_up_to_date():
    assert PAGE.read_text() == reference(), "run: python -m rookery.config.reference > " + str(PAGE)


def test_every_setting_is_on_it():
    page = reference()
    for path, setting in walk(ROOT):
        if path[-1] != ENTRY:
            assert f"\n| `{path[-1]}` | " in page, path
        if setting.kind == "section":
            assert f"\n## {'.'.join(path).replace('.' + ENTRY, '[]')}\n" in page, path


def test_the_module_prints_it():
    done = subprocess.run(
        [sys.executable, "-m", "rookery.config.reference"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == reference()
