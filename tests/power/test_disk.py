"""What a loss of power may leave, and what it may not."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.power.disk import Disk, Operation, operations
from tests.power.shim import Faults, environment, need_library

CHANCES = 300


def operation(kind: str, file: int = -1, data: bytes | str = b"", offset: int = 0) -> Operation:
    return Operation(kind, file, offset, data.encode() if isinstance(data, str) else data)


def ends(directory: Path, *steps: Operation) -> list[dict[str, bytes | None]]:
    """What different losses of power leave, by the name of the file."""
    disk = Disk(directory)
    for step in steps:
        disk.step(step)
    found = []
    for seed in range(CHANCES):
        contents = disk.after_power_cut(random.Random(seed))
        found.append({Path(path).name: content for path, content in contents.items()})
    return found


def old_file(directory: Path, content: bytes = b"old") -> str:
    (directory / "f").write_bytes(content)
    return str(directory / "f")


def test_what_was_synced_is_there(tmp_path: Path):
    path = old_file(tmp_path)
    steps = [operation("o", 3, path), operation("W", 3, b"new"), operation("S", 3)]
    assert ends(tmp_path, *steps) == [{"f": b"new"}] * CHANCES


def test_what_was_not_may_be_there_or_not_and_ends_between_two_sectors(tmp_path: Path):
    path = old_file(tmp_path, b"o" * 2000)
    found = ends(tmp_path, operation("o", 3, path), operation("W", 3, b"n" * 1000, offset=500))
    assert {content.count(b"n") for each in found if (content := each["f"])} == {0, 12, 524, 1000}


def test_of_two_writes_the_later_one_alone_may_be_there(tmp_path: Path):
    path = old_file(tmp_path, b"....")
    steps = [operation("W", 3, b"1", offset=1), operation("W", 3, b"2", offset=2)]
    found = {each["f"] for each in ends(tmp_path, operation("o", 3, path), *steps)}
    assert found == {b"....", b".1..", b"..2.", b".12."}


def test_a_sync_after_one_that_failed_makes_up_for_nothing(tmp_path: Path):
    path = old_file(tmp_path, b"o" * 8192)
    steps = [
        operation("o", 3, path),
        operation("W", 3, b"1"),
        operation("E", 3),
        operation("W", 3, b"2", offset=4096),
        operation("S", 3),
    ]
    found = {(each["f"] or b"")[::4096] for each in ends(tmp_path, *steps)}
    assert found == {b"o2", b"12"}
    steps += [operation("W", 3, b"3", offset=1), operation("S", 3)]
    assert {(each["f"] or b"")[:2] for each in ends(tmp_path, *steps)} == {b"13"}


def test_a_name_is_there_when_its_directory_was_synced(tmp_path: Path):
    made = [
        operation("O", 3, str(tmp_path / "f")),
        operation("W", 3, b"x"),
        operation("S", 3),
    ]
    found = ends(tmp_path, *made)
    assert {} in found
    assert {"f": b"x"} in found
    steps = [*made, operation("o", 4, str(tmp_path)), operation("S", 4)]
    assert ends(tmp_path, *steps) == [{"f": b"x"}] * CHANCES


def test_a_renaming_is_whole_or_not_at_all(tmp_path: Path):
    old_file(tmp_path)
    found = ends(tmp_path, operation("R", data=f"{tmp_path}/g\0{tmp_path}/f"))
    assert {str(sorted(each)) for each in found} == {"['f']", "['g']"}


def test_without_its_directory_no_file_is_there(tmp_path: Path):
    steps = [
        operation("D", data=str(tmp_path / "d")),
        operation("O", 3, str(tmp_path / "d" / "f")),
        operation("o", 4, str(tmp_path / "d")),
        operation("S", 4),
    ]
    assert {str(sorted(each)) for each in ends(tmp_path, *steps)} == {"[]", "['d', 'f']"}


def test_the_end_of_the_process_loses_nothing(tmp_path: Path):
    path = old_file(tmp_path)
    disk = Disk(tmp_path)
    for step in (
        operation("o", 3, path),
        operation("W", 3, b"new"),
        operation("T", 3, offset=2),
        operation("O", 4, f"{path}2"),
    ):
        disk.step(step)
    assert disk.after_kill() == {path: b"ne", f"{path}2": b""}


class TestTheLibrary:
    def run(self, tmp_path: Path, code: str, lines: list[str] | None = None) -> list[Operation]:
        need_library()
        journal, faults = tmp_path / "journal", Faults(tmp_path / "faults")
        faults.set(lines or [])
        watched = tmp_path / "watched"
        watched.mkdir(exist_ok=True)
        subprocess.run(
            [sys.executable, "-c", f"import ctypes, os\n{code}"],
            check=True,
            cwd=watched,
            env=environment(watched, journal=journal, faults=faults.path),
        )
        return list(operations(journal))

    def test_everything_is_in_the_journal(self, tmp_path: Path):
        code = (
            "f = os.open('f', os.O_RDWR | os.O_CREAT); os.write(f, b'ab'); os.pwrite(f, b'c', 5)\n"
            "os.fsync(f); os.ftruncate(f, 1); os.fdatasync(f); os.close(f); os.rename('f', 'g')\n"
            "os.unlink('g'); os.mkdir('d'); ctypes.CDLL(None).power_mark(b'so far')"
        )
        found = [(each.kind, each.offset, each.data) for each in self.run(tmp_path, code)]
        folder = os.fsencode(tmp_path / "watched")
        assert found == [
            ("O", 0, folder + b"/f"),
            ("W", 0, b"ab"),
            ("W", 5, b"c"),
            ("S", 0, b""),
            ("T", 1, b""),
            ("S", 0, b""),
            ("C", 0, b""),
            ("R", 0, folder + b"/g\0" + folder + b"/f"),
            ("U", 0, folder + b"/g"),
            ("D", 0, folder + b"/d"),
            ("M", 0, b"so far"),
        ]

    def test_what_is_to_fail_fails(self, tmp_path: Path):
        code = (
            "import errno\n"
            "def told(call, *given):\n"
            "    try: return call(*given)\n"
            "    except OSError as error: return errno.errorcode[error.errno]\n"
            "f = os.open('a.db', os.O_RDWR | os.O_CREAT)\n"
            "g = os.open('other', os.O_RDWR | os.O_CREAT)\n"
            "assert told(os.write, f, b'abcd') == 2\n"
            "assert told(os.fsync, f) == 'EIO'\n"
            "assert told(os.fsync, g) is None\n"
            "assert told(os.rename, 'other', 'x') == 'EROFS'\n"
            "assert told(os.pread, f, 1, 0) == 'EIO'"
        )
        lines = ["write .db short", "sync .db EIO", "name * EROFS", "read a.db EIO"]
        done: Callable[[str], int] = [each.kind for each in self.run(tmp_path, code, lines)].count
        assert (done("F"), done("E"), done("S"), done("R")) == (4, 1, 1, 0)
