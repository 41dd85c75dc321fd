"""A store whose disk fails: what is told to have failed is not there, and all goes on once it works again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.power.shim import environment, need_library

ROOT = Path(__file__).parents[2]

NO_ROOM = "cannot grow: database or disk is full (SQLITE_FULL); make room on the disk"
FAULTS: dict[str, tuple[list[str], str]] = {
    "no room for the log": (["write -wal ENOSPC"], NO_ROOM),
    "no room at all": (["write * ENOSPC"], NO_ROOM),
    "room for half a page": (["write * short"], NO_ROOM),
    "writing fails": (["write -wal EIO"], "cannot be used: disk I/O error (SQLITE_IOERR_WRITE)"),
    "syncing fails": (["sync * EIO"], "cannot be used: disk I/O error (SQLITE_IOERR_FSYNC)"),
    "read-only": (["write * EROFS", "open * EROFS", "name * EROFS"], "cannot be used: "),
}
OF_SYNCS = "syncing fails"


def ask(directory: Path, asked: list[tuple[str, list[str]]]) -> list[dict[str, Any]]:
    faults = directory / "faults"
    watched = directory / "watched"
    watched.mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.power.broken_disk",
            str(watched),
            str(faults),
            json.dumps(asked),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(watched, faults=faults),
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """What became of each fault at each level, and at last of reading while it fails."""
    need_library()
    asked = [
        (durability, what)
        for durability in ("fsync", "os")
        for what in FAULTS
        if (durability, what) != ("os", OF_SYNCS)  # Nobody waits for a sync there.
    ]
    told = ask(tmp_path_factory.mktemp("disk"), [(level, FAULTS[what][0]) for level, what in asked])
    return dict(zip([*asked, ("fsync", "reading fails")], told, strict=True))


@pytest.mark.parametrize("durability", ["fsync", "os"])
@pytest.mark.parametrize("what", FAULTS)
def test_nothing_is_done_by_halves_and_it_goes_on(seen, durability: str, what: str):
    if (durability, what) == ("os", OF_SYNCS):
        pytest.skip("at this level no commit waits for a sync, so none can fail with it")
    found, text = seen[durability, what], FAULTS[what][1]
    assert None not in found["errors"]
    assert all(text in error for error in found["errors"])
    for error, problems in zip(found["errors"], found["problems"], strict=True):
        assert error in problems
    assert found["problems after"] == []
    assert found["read"] == [20_000, None, None, None, 5]
    assert found["blocks"] == [0, 4]
    assert found["sessions"] == [0]
    assert found["retained"] == [["t", 0]]


def test_what_cannot_be_read_is_read_later(seen):
    found = seen["fsync", "reading fails"]
    assert "disk I/O error" in found["problems"][0]
    assert found["whole"]
