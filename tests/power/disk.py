"""What a disk may hold after the power is cut.

A ``Disk`` is told the operations of a journal, one by one, and knows of each file two things: what a
program sees (``view``: the system keeps it in memory), and what is on the medium beyond doubt (``safe``).
A sync takes the one to the other. ``after_kill`` gives what a program finds when only its process ended;
``after_power_cut`` what it may find when the machine did: of all that was written, cut, made, renamed and
removed since the last sync some has reached the medium and some has not, and the last write is torn
between two sectors. Chance, which comes in, decides.

A sync that failed is no sync, and a later one that works does not make up for it: the system has
forgotten which pages it could not write. They are in doubt until they are written again.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

HEADER: Final = struct.Struct("=c3xiqq")
SECTOR_BYTES: Final = 512
PAGE_BYTES: Final = 4096
MODES: Final = ("none", "all", "first", "some")
"""Which of the unsynced operations reached the medium."""
TORN_SHARE: Final = 0.1
"""How many of the writes before the last one are torn as well."""

T = TypeVar("T")


class Operation(NamedTuple):
    """One record of the journal; ``disk.c`` has the kinds."""

    kind: str
    file: int
    offset: int
    data: bytes

    @property
    def text(self) -> str:
        """A mark, a fault or a path."""
        return self.data.decode()


def operations(journal: Path) -> Iterator[Operation]:
    """Read a journal."""
    data = journal.read_bytes()
    at = 0
    while at < len(data):
        kind, file, offset, length = HEADER.unpack_from(data, at)
        at += HEADER.size
        yield Operation(kind.decode(), file, offset, data[at : at + length])
        at += length


class Change(NamedTuple):
    """A write to a file, or (``data`` is ``None``) a cut to a length."""

    offset: int
    data: bytes | None


@dataclass(eq=False)
class File:
    """One file, whatever its name."""

    view: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)
    doubtful: set[int] = field(default_factory=set)
    """Pages that a failed sync left in doubt."""
    length_doubtful: bool = False

    def change(self, change: Change) -> None:
        """The program wrote or cut."""
        apply(self.view, change)
        self.pending.append(change)

    def sync(self) -> None:
        """All that is pending is on the medium now, page by page."""
        if self.pending:
            # A later change of the length writes it down again, whatever became of the one before.
            resize(self.safe, len(self.view))
            self.length_doubtful = False
        for page in self._pages_pending():
            self.safe[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = self._page(page)
            self.doubtful.discard(page)
        self.pending.clear()

    def fail_to_sync(self) -> None:
        """Nobody knows what of it is on the medium, and nobody will try again."""
        self.doubtful |= self._pages_pending()
        self.length_doubtful |= len(self.view) != len(self.safe)
        self.pending.clear()

    def after_power_cut(self, chance: random.Random) -> bytes:
        """What may be on the medium."""
        found = bytearray(self.safe)
        if self.length_doubtful and chance.random() < 0.5:
            resize(found, len(self.view))
        for page in sorted(self.doubtful):
            if chance.random() < 0.5 and page * PAGE_BYTES < len(self.view):
                apply(found, Change(page * PAGE_BYTES, self._page(page)))
        kept = chosen(self.pending, chance)
        for change in kept:
            tears = change is kept[-1] or chance.random() < TORN_SHARE
            apply(found, torn(change, chance) if tears else change)
        return bytes(found)

    def _page(self, page: int) -> bytes:
        return bytes(self.view[page * PAGE_BYTES : (page + 1) * PAGE_BYTES])

    def _pages_pending(self) -> set[int]:
        pages = set()
        for change in self.pending:
            if change.data:
                last = change.offset + len(change.data) - 1
                pages |= set(range(change.offset // PAGE_BYTES, last // PAGE_BYTES + 1))
        return {page for page in pages if page * PAGE_BYTES < len(self.view)}


def apply(content: bytearray, change: Change) -> None:
    """Make a change; what lies between the end and a write behind it is zero."""
    if change.data is None:
        resize(content, change.offset)
        return
    if change.offset > len(content):
        resize(content, change.offset)
    content[change.offset : change.offset + len(change.data)] = change.data


def resize(content: bytearray, length: int) -> None:
    """Cut, or fill up with zeros."""
    del content[length:]
    content.extend(bytes(length - len(content)))


def torn(change: Change, chance: random.Random) -> Change:
    """A write of which only the sectors up to some border have reached the medium."""
    if change.data is None:
        return change
    end = change.offset + len(change.data)
    first = (change.offset // SECTOR_BYTES + 1) * SECTOR_BYTES
    border = chance.choice([*range(first, end, SECTOR_BYTES), end])
    return Change(change.offset, change.data[: border - change.offset])


def chosen(pending: list[T], chance: random.Random) -> list[T]:
    """Those of some operations that took place, in their order."""
    mode = chance.choice(MODES)
    if mode == "none":
        return []
    if mode == "first":
        return pending[: chance.randint(0, len(pending))]
    if mode == "some":
        return [each for each in pending if chance.random() < 0.5]
    return list(pending)


class Naming(NamedTuple):
    """A change of names: which path leads to which file afterwards, ``None`` to none."""

    paths: dict[str, File | None]
    unsynced: set[str]
    """The directories of these names which were not synced since."""


class Disk:
    """All files below one directory, which is itself beyond doubt."""

    def __init__(self, directory: Path) -> None:
        """What is there now is taken to be on the medium."""
        self._root = directory
        self._names: dict[str, File | None] = {}
        self._pending: list[Naming] = []
        self._folders: set[str] = {str(directory)}
        self._open: dict[int, File | str] = {}
        for path in sorted(directory.rglob("*")):
            if path.is_dir():
                self._folders.add(str(path))
                self._names[str(path)] = File()
            else:
                content = path.read_bytes()
                self._names[str(path)] = File(bytearray(content), bytearray(content))
        self._safe = dict(self._names)

    def step(self, operation: Operation) -> None:
        """Something was done."""
        kind, file = operation.kind, operation.file
        if kind in "oO":
            self._step_open(kind, file, operation.text)
        elif kind == "C":
            self._open.pop(file)
        elif kind in "WT":
            self._file(file).change(
                Change(operation.offset, operation.data if kind == "W" else None)
            )
        elif kind in "SE":
            self._step_sync(self._open[file], failed=kind == "E")
        elif kind == "D":
            self._folders.add(operation.text)
            self._rename({operation.text: File()})
        elif kind == "U":
            self._rename({operation.text: None})
        elif kind == "R":
            new, old = operation.text.split("\0")
            self._rename({old: None, new: self._names[old]})
        else:
            assert kind in "MF", operation

    def close_all(self) -> None:
        """The process ended."""
        self._open.clear()

    def after_kill(self) -> dict[str, bytes | None]:
        """What each path holds for the next process; ``None`` for a directory."""
        return self._contents(self._names, lambda file: bytes(file.view))

    def after_power_cut(self, chance: random.Random) -> dict[str, bytes | None]:
        """What each path may hold after a loss of power."""
        names = dict(self._safe)
        for naming in chosen(self._pending, chance):
            names.update(naming.paths)
        contents: dict[int, bytes] = {}

        def content(file: File) -> bytes:
            # A file may be found under two names, if only half of a renaming took place.
            if id(file) not in contents:
                contents[id(file)] = file.after_power_cut(chance)
            return contents[id(file)]

        return self._contents(names, content)

    def _contents(self, names, content) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for path, file in sorted(names.items()):
            parent = str(Path(path).parent)
            if file is None or (parent != str(self._root) and parent not in found):
                continue  # Without its directory nothing is left of a file.
            found[path] = None if path in self._folders else content(file)
        return found

    def _step_open(self, kind: str, file: int, path: str) -> None:
        if path in self._folders:
            self._open[file] = path
            return
        if kind == "O":
            self._rename({path: File()})
        found = self._names[path]
        assert found is not None, path
        self._open[file] = found

    def _step_sync(self, what: File | str, *, failed: bool) -> None:
        if isinstance(what, File):
            if failed:
                what.fail_to_sync()
            else:
                what.sync()
        elif not failed:
            for naming in self._pending:
                naming.unsynced.discard(what)
                if not naming.unsynced:
                    self._safe.update(naming.paths)
            self._pending = [naming for naming in self._pending if naming.unsynced]

    def _rename(self, paths: dict[str, File | None]) -> None:
        self._names.update(paths)
        self._pending.append(Naming(paths, {str(Path(path).parent) for path in paths}))

    def _file(self, descriptor: int) -> File:
        found = self._open[descriptor]
        assert isinstance(found, File)
        return found


def lay_out(contents: dict[str, bytes | None], source: Path, target: Path) -> None:
    """Make files of what was found below ``source``, below ``target``."""
    for path, content in contents.items():
        place = target / Path(path).relative_to(source)
        if content is None:
            place.mkdir()
        else:
            place.write_bytes(content)
