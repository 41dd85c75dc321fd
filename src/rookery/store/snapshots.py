"""Snapshots of an image: how one goes to where the log is, and how it comes back.

A snapshot is the database file as it was at one moment, with a check sum behind it, in parts. The copy is made
beside the image while that goes on taking commits, and sent from there.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final
from zlib import crc32

from rookery.ports import CellLog, Snapshot
from rookery.store import backup
from rookery.store.database import connect_to_read, fault_of
from rookery.store.faults import StoreFault
from rookery.store.image import COPY_FILE, FETCHED_FILE, Mark, decode_mark
from rookery.store.rebuild import check
from rookery.store.schema import MARK

PART_BYTES: Final = 524_288
CRC_BYTES: Final = 4


async def upload(log: CellLog, directory: Path) -> tuple[Mark, int]:
    """Copy the image and keep the copy as the log's snapshot; its mark and its bytes.

    Raises ``StoreFault`` and what the log raises.
    """
    loop = asyncio.get_running_loop()
    copy = directory / COPY_FILE
    try:
        mark = await loop.run_in_executor(None, _copied, directory, copy)
        parts = _parts(copy, min(PART_BYTES, log.record_bytes_max))
        try:
            await log.put_snapshot(mark.applied, parts)
        finally:
            await parts.aclose()
        size_bytes = copy.stat().st_size + CRC_BYTES
        await log.forget(mark.applied + 1)
    except OSError as error:
        raise fault_of(copy, error) from error
    finally:
        copy.unlink(missing_ok=True)
    return mark, size_bytes


def _copied(directory: Path, copy: Path) -> Mark:
    copy.unlink(missing_ok=True)  # A stop in the middle may have left one.
    backup.create(directory, copy)
    mark = mark_of(copy)
    if mark is None:
        raise StoreFault(f"{copy} is of no cell: it has no mark")
    return mark


def mark_of(path: Path) -> Mark | None:
    """The mark of a database that nobody writes. Raises ``StoreFault``."""
    try:
        with closing(connect_to_read(path)) as connection:
            row = connection.execute(
                "SELECT value_hex FROM facts WHERE key = ?", (MARK,)
            ).fetchone()
            return None if row is None else decode_mark(bytes.fromhex(row[0]))
    except sqlite3.Error as error:
        raise fault_of(path, error) from error
    except (TypeError, ValueError) as error:
        raise StoreFault(f"{path} is damaged: {error}") from error


async def _parts(path: Path, part_bytes: int) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    crc = 0
    with path.open("rb") as file:
        while part := await loop.run_in_executor(None, file.read, part_bytes):
            crc = crc32(part, crc)
            yield part
    yield crc.to_bytes(CRC_BYTES, "big")


async def download(snapshot: Snapshot, directory: Path) -> Path:
    """Fetch a snapshot and look whether it is whole; the file it lies in.

    Raises ``StoreFault`` and what the log raises.
    """
    loop = asyncio.get_running_loop()
    path = directory / FETCHED_FILE
    path.unlink(missing_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            found, crc = await _written(snapshot, file)
            await loop.run_in_executor(None, _sync, file)
        if found != crc:
            raise StoreFault(
                f"the snapshot of record {snapshot.sequence} is damaged: another check sum"
            )
        told = await loop.run_in_executor(None, check, path)
    except (sqlite3.Error, OSError) as error:
        raise fault_of(path, error) from error
    if told:
        raise StoreFault(f"the snapshot of record {snapshot.sequence} is damaged: {told[0]}")
    return path


async def _written(snapshot: Snapshot, file: BinaryIO) -> tuple[int, int]:
    """Write all but the check sum; the one that was found and the one that came."""
    loop = asyncio.get_running_loop()
    crc = 0
    kept = b""
    async for part in snapshot.parts:
        data = kept + part
        data, kept = data[:-CRC_BYTES], data[-CRC_BYTES:]
        crc = crc32(data, crc)
        await loop.run_in_executor(None, file.write, data)
    return crc, int.from_bytes(kept, "big") if len(kept) == CRC_BYTES else -1


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
