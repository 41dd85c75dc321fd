import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rookery.auth.watch import FileFault, FileWatch, file_version


class Text:
    """A watched text file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.in_force: list[str] = []
        self.read_by: set[int] = set()
        self.applied_by: set[int] = set()

    @property
    def name(self) -> str:
        return self.path.name

    def version(self) -> object:
        return file_version(self.path)

    def read(self) -> Callable[[], None]:
        self.read_by.add(threading.get_ident())
        try:
            text = self.path.read_text()
        except OSError as error:
            raise FileFault(f"{self.name}: {error.strerror}") from None
        if text == "bad":
            raise FileFault(f"{self.name}: it is bad")

        def apply() -> None:
            self.applied_by.add(threading.get_ident())
            self.in_force.append(text)

        return apply


@pytest.fixture
def text(tmp_path: Path) -> Text:
    path = tmp_path / "text"
    path.write_text("one")
    return Text(path)


def watching(text: Text, changes: list[int]) -> FileWatch:
    watch = FileWatch(lambda: changes.append(len(text.in_force)))
    watch.add(text)
    return watch


def test_a_change_is_read_once_and_told_after_it_is_in_force(text: Text):
    changes: list[int] = []

    async def work() -> None:
        watch = watching(text, changes)
        await watch.load()
        await watch.look()
        text.path.write_text("other")
        await watch.look()
        await watch.look()
        watch.close()

    asyncio.run(work())
    assert text.in_force == ["one", "other"]
    assert changes == [1, 2]


def test_reading_is_off_the_loop_and_applying_is_on_it(text: Text):
    async def work() -> None:
        watch = watching(text, [])
        await watch.load()
        watch.close()

    asyncio.run(work())
    assert threading.get_ident() not in text.read_by
    assert text.applied_by == {threading.get_ident()}


def test_what_cannot_be_read_at_the_start_is_a_fault(text: Text):
    async def work() -> None:
        watch = watching(text, [])
        with pytest.raises(FileFault, match="text: it is bad"):
            await watch.load()
        watch.close()

    text.path.write_text("bad")
    asyncio.run(work())


def test_a_fault_later_is_told_once_and_leaves_what_was_in_force(text: Text):
    async def work() -> None:
        watch = watching(text, [])
        await watch.load()
        text.path.write_text("bad")
        with capture_logs() as logs:
            await watch.look()
            await watch.look()
            assert text.in_force == ["one"]
            text.path.write_text("good")
            await watch.look()
        assert [(line["event"], line["file"]) for line in logs] == [
            ("file_refused", "text"),
            ("file_applied", "text"),
        ]
        assert logs[0]["reason"] == "text: it is bad"
        watch.close()

    asyncio.run(work())
    assert text.in_force == ["one", "good"]


def test_a_fault_is_tried_again_without_a_change_of_the_file(text: Text):
    async def work() -> None:
        watch = watching(text, [])
        await watch.load()
        aside = text.path.rename(text.path.with_suffix(".aside"))
        await watch.look()
        aside.rename(text.path)  # The very file that was read before.
        await watch.look()
        watch.close()

    asyncio.run(work())
    assert text.in_force == ["one", "one"]


def test_it_looks_by_itself(text: Text):
    async def work() -> None:
        seen = asyncio.Event()
        watch = FileWatch(seen.set)
        watch.add(text)
        await watch.load()
        seen.clear()
        running = asyncio.ensure_future(watch.run())
        text.path.write_text("other")
        await asyncio.wait_for(seen.wait(), 10)
        running.cancel()
        watch.close()

    asyncio.run(work())
    assert text.in_force == ["one", "other"]


def test_the_version_of_a_file_follows_its_content_and_its_place(tmp_path: Path):
    path = tmp_path / "file"
    seen = [file_version(path)]
    path.write_text("a")
    seen.append(file_version(path))
    path.write_text("ab")
    seen.append(file_version(path))
    other = tmp_path / "other"
    other.write_text("cd")
    other.replace(path)
    seen.append(file_version(path))
    assert len(set(seen)) == 4
    assert seen[0] is None
