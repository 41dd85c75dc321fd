"""A damaged database that is set aside: the power may be cut at any moment of it, and nothing more is lost."""

import asyncio
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.power.disk import Disk, lay_out, operations
from tests.power.groups import Name, State
from tests.power.shim import environment, need_library
from tests.support.stores import commit, contents, copy_files, sqlite_store

ROOT = Path(__file__).parents[2]
OPEN = (
    "import asyncio, sys; from pathlib import Path; from tests.support.stores import *\n"
    "asyncio.run(opened(lambda: sqlite_store(Path(sys.argv[1]))))"
)
SEED = 1
PLACES = 6
PAGE_BYTES = 4096
HALF = b"\xff" * (PAGE_BYTES // 2)


async def fill(directory: Path, target: Path) -> None:
    """Some groups; then the files as they are while the store is open."""
    store, state = sqlite_store(directory), State(7)
    await store.open()
    for number in range(1, 40):
        name = Name(number, 0)
        assert await commit(store, state.group(name)) is None
        state.take(name)
        if number == 37:  # What follows stays in the log.
            await store.close()
            store = sqlite_store(directory)
            await store.open()
    copy_files(directory, target)
    await store.close()


async def saved(directory: Path) -> tuple[dict[str, Any], list[list[bytes | None]]]:
    store = sqlite_store(directory)
    loaded = await store.open()
    try:
        return contents(loaded), await store.read_blocks(loaded.blocks)
    finally:
        await store.close()


def test_setting_aside_survives_a_loss_of_power(tmp_path: Path):
    need_library()
    work, journal, trial = tmp_path / "work", tmp_path / "journal", tmp_path / "trial"
    work.mkdir()
    asyncio.run(fill(tmp_path / "source", work / "store"))
    path = work / "store" / "rookery.db"
    damaged = bytearray(path.read_bytes())
    pages = len(damaged) // PAGE_BYTES
    for page in range(10, pages):  # Behind the schema; most behind the log is free.
        # Torn: the second half of the page is there, the first is not.
        damaged[page * PAGE_BYTES : page * PAGE_BYTES + len(HALF)] = HALF
    path.write_bytes(damaged)
    disk = Disk(work)
    subprocess.run(
        [sys.executable, "-c", OPEN, str(work / "store")],
        check=True,
        cwd=ROOT,
        env=environment(work, journal=journal),
    )
    broken = min((work / "store").glob("*.broken-*"))
    assert broken.read_bytes() == damaged
    wanted = asyncio.run(saved(work / "store"))
    assert len(wanted[0]["blocks"]) > 1, "nothing was saved, so nothing can be lost"
    chance, done = random.Random(SEED), list(operations(journal))
    places = set(chance.sample(range(len(done)), PLACES))
    places |= {place for place, each in enumerate(done) if each.kind == "R"}
    for place, operation in enumerate(done):
        disk.step(operation)
        if place not in places:
            continue
        cuts = 3 if operation.kind == "R" else 1
        ends = [disk.after_kill(), *(disk.after_power_cut(chance) for _ in range(cuts))]
        for found in ends:
            shutil.rmtree(trial, ignore_errors=True)
            trial.mkdir()
            lay_out(found, work, trial)
            again = asyncio.run(saved(trial / "store"))
            assert again == wanted, (place, operation.kind, operation.data[:200])
