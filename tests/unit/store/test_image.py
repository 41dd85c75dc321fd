"""The image of a cell: its mark goes with every group, and what is not good is set aside whole."""

import asyncio
from pathlib import Path

import pytest

from rookery.records import Loaded, position_of
from rookery.store.faults import StoreFault
from rookery.store.image import Image, Mark, decode_mark, is_empty
from rookery.store.rebuild import OUTDATED, REPLACED
from rookery.store.schema import MARK
from tests.support.stores import SteppedClock, group, read, sqlite_store


def image(directory: Path, bytes_max: int = 1 << 30) -> Image:
    made = Image(directory, bytes_max, SteppedClock())
    made.take_directory()
    return made


@pytest.mark.parametrize("cell", ["n1", "ä" * 40, ""])
def test_a_mark_comes_back_as_it_was(cell: str):
    mark = decode_mark(Mark(cell, 4, 1 << 60, 77).encode())
    assert (mark.cell, mark.epoch, mark.applied, mark.unsaved_bytes) == (cell, 4, 1 << 60, 77)


@pytest.mark.parametrize("data", [b"", b"\x01\x00", b"\x09" + Mark("n1", 1, 1, 1).encode()[1:]])
def test_a_damaged_mark_is_told(data: bytes):
    with pytest.raises(ValueError, match="the mark of the image is"):
        decode_mark(data)


def test_the_mark_goes_with_the_group_and_is_not_seen(tmp_path: Path):
    async def run() -> None:
        made = image(tmp_path)
        assert made.look() is None
        loaded = made.make(Mark("n1", 1, 0, 0))
        made.start(asyncio.get_running_loop(), loaded)
        made.start_reading()
        first = group(1, b"x", facts={"a": b""})
        assert await made.apply(first, Mark("n1", 1, 5, 9)) is None
        assert first.facts == {"a": b""}
        fault = await made.apply(group(1, b"twice"), Mark("n1", 1, 6, 9))
        assert "UNIQUE" in str(fault)
        assert made.mark is not None
        assert made.mark.applied == 5
        assert made.load().facts == {"a": b""}
        assert await read(made, position_of(1, 0)) == [b"x"]
        made.release()

        again = image(tmp_path)
        loaded = again.look()
        assert loaded is not None
        assert loaded.facts == {"a": b""}
        assert (again.mark.cell, again.mark.applied, again.mark.unsaved_bytes) == ("n1", 5, 9)
        again.release()

    asyncio.run(run())


def test_a_single_nodes_database_has_no_mark(tmp_path: Path):
    async def put() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        await store.close()

    asyncio.run(put())
    made = image(tmp_path)
    loaded = made.look()
    assert loaded is not None
    assert is_empty(loaded)
    assert made.mark is None
    made.remove()
    assert not list(tmp_path.glob("rookery.db*"))
    made.release()


def test_is_empty():
    loaded = Loaded()
    assert is_empty(loaded)
    loaded.next_number = 2
    assert not is_empty(loaded)


def test_two_do_not_share_a_directory(tmp_path: Path):
    made = image(tmp_path)
    with pytest.raises(StoreFault, match="is in use by another node"):
        image(tmp_path)
    made.release()
    image(tmp_path).release()


def test_what_was_left_half_done_is_removed(tmp_path: Path):
    (tmp_path / "adopting-x").mkdir()
    (tmp_path / "adopting-x" / "rookery.db").touch()
    for name in ("rookery.snapshot", "rookery.snapshot.partial", "rookery.fetched"):
        (tmp_path / name).touch()
    image(tmp_path).release()
    assert [each.name for each in tmp_path.iterdir()] == ["rookery.lock"]


@pytest.mark.parametrize(("word", "left"), [(OUTDATED, 1), (REPLACED, 3)])
def test_setting_aside(tmp_path: Path, word: str, left: int):
    made = image(tmp_path)
    for _ in range(3):
        made.make(Mark("n1", 1, 0, 0))
        place = made.set_aside(word, "for a test")
        assert made.mark is None
        assert place.exists()
        assert made.look() is None
    aside = [each for each in tmp_path.glob(f"rookery.db{word}*") if each.name[-4] != "-"]
    assert len(aside) == left
    made.release()


def test_room_is_asked_for_before(tmp_path: Path):
    async def run() -> None:
        made = image(tmp_path, 300_000)
        made.start(asyncio.get_running_loop(), made.make(Mark("n1", 1, 0, 0)))
        assert await made.find_room(group(1, bytes(100_000))) is None
        assert "is full" in str(await made.find_room(group(1, bytes(400_000))))
        # What the log has is taken all the same.
        assert await made.apply(group(1, bytes(400_000)), Mark("n1", 1, 1, 0)) is None
        assert any("holds" in each for each in made.problems())
        made.release()

    asyncio.run(run())


def test_the_key_of_the_mark_is_the_images_own():
    assert MARK == "store/mark", "another one would not find the marks that are there"
