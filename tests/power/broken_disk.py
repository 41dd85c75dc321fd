"""A store on a disk that fails in one way after the other, in a process of its own whose disk is watched.

Says what it saw as lines of JSON, for ``test_faults.py`` to judge.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from rookery.records import position_of
from rookery.store import reader, writer
from tests.power.shim import Faults
from tests.support.stores import commit, group, opened, read, session, sqlite_store

LARGE = b"x" * 20_000


async def fail(
    directory: Path, durability: str, faults: Faults, lines: list[str]
) -> dict[str, Any]:
    """Commit before, during and after; what was told and what was there."""
    store = sqlite_store(directory, durability)
    loaded = await store.open()
    first = loaded.next_block
    seen: dict[str, Any] = {"lines": lines, "problems": []}
    rows = {"sessions": {first: session(first)}, "retained": {"t": position_of(first, 0)}}
    assert await commit(store, group(first, LARGE, b"before", **rows)) is None
    faults.set(lines)
    errors = []
    for attempt in (1, 2, 3):
        number = first + attempt
        rows = {"sessions": {number: session(number)}, "retained": {"t": position_of(number, 0)}}
        errors.append(await commit(store, group(number, b"during", LARGE, **rows)))
        seen["problems"].append(store.problems())
    seen["errors"] = [error and str(error) for error in errors]
    faults.heal()
    assert await commit(store, group(first + 4, b"after")) is None
    seen["problems after"] = store.problems()
    seen["read"] = [
        entry and len(entry)
        for entry in await read(store, *(position_of(first + step, 0) for step in (0, 1, 2, 3, 4)))
    ]
    await store.close()
    found = await opened(lambda: sqlite_store(directory, durability))
    seen["blocks"] = [block - first for block in found.blocks if block >= first]
    seen["sessions"] = [row.number - first for row in found.sessions if row.number >= first]
    seen["retained"] = [
        (topic, position - position_of(first, 0)) for topic, position in found.retained
    ]
    return seen


async def read_while_it_fails(directory: Path, faults: Faults) -> dict[str, Any]:
    """What cannot be read is read once it can be."""
    store = sqlite_store(directory)
    loaded = await store.open()
    first = loaded.next_block
    assert await commit(store, group(first, LARGE)) is None
    faults.set(["read * EIO"])
    reading = asyncio.ensure_future(read(store, position_of(first, 0)))
    problems: list[str] = []
    while not problems:
        await asyncio.sleep(0.01)
        problems = store.problems()
    faults.heal()
    (entry,) = await reading
    await store.close()
    return {"problems": problems, "whole": entry == LARGE}


async def main() -> None:
    """Every fault that was asked for."""
    directory, faults, asked = Path(sys.argv[1]), Faults(Path(sys.argv[2])), json.loads(sys.argv[3])
    writer.TICK_SECONDS = 0.05
    reader.RETRY_SECONDS = 0.01
    for durability, lines in asked:
        print(json.dumps(await fail(directory / durability, durability, faults, lines)))
    print(json.dumps(await read_while_it_fails(directory / "fsync", faults)))


if __name__ == "__main__":
    asyncio.run(main())
