"""The log of one cell in JetStream, and its snapshots: the ``CellLog`` port.

The log is a stream with one subject. An append names the sequence it must stand behind, so that what others wrote in
between keeps it out. A snapshot is a run of chunks in a second stream with a manifest behind them, which alone makes
them a snapshot; every chunk, too, names what it stands behind, so that two writers never mix theirs.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, NoReturn

from rookery.cluster import names
from rookery.cluster.jetstream import ANSWER_SECONDS_MAX, JetStream, NoAnswer, Refusal, Stored
from rookery.cluster.nats_config import PAYLOAD_BYTES_MAX
from rookery.cluster.streams import stream_info
from rookery.ports import LogFenced, LogUnavailable, Snapshot

EXPECTED_LAST: Final = "Nats-Expected-Last-Sequence"
WRONG_LAST_SEQUENCE: Final = frozenset((10071, 10164))
RECORD_BYTES_MAX: Final = PAYLOAD_BYTES_MAX - 4096
"""What a message may have, less its headers."""
MANIFEST: Final = "current"
MANIFEST_VERSION: Final = 1
READ_RECORDS_MAX: Final = 1000
"""How many one read brings at most."""
READ_SECONDS_MAX: Final = 5.0
"""How long replicas are asked until one answers."""
CHUNK_SECONDS_MAX: Final = 5.0
"""Nobody waits for a snapshot, and its chunks are large."""
LOOKS_MAX: Final = 20
LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What tells that there is a snapshot, and where."""

    snapshot_id: str
    sequence: int
    first: int
    """Where its first chunk lies in the stream of snapshots."""
    chunks: int
    size_bytes: int

    def encode(self) -> bytes:
        return json.dumps(
            {
                "version": MANIFEST_VERSION,
                "id": self.snapshot_id,
                "sequence": self.sequence,
                "first": self.first,
                "chunks": self.chunks,
                "size_bytes": self.size_bytes,
            }
        ).encode()


class JetStreamLog:
    """The log of the cell that began at a node, for the node itself or for who adopts its cell."""

    def __init__(
        self, jetstream: JetStream, node_id: str, answer_seconds: float = ANSWER_SECONDS_MAX
    ) -> None:
        self._jetstream = jetstream
        self._node_id = node_id
        self._answer_seconds = answer_seconds
        self._stream = names.log_stream(node_id)
        self._subject = names.log_subject(node_id)
        self._snapshots = names.snapshot_stream(node_id)

    @property
    def record_bytes_max(self) -> int:
        """How large one record may be."""
        return RECORD_BYTES_MAX

    async def append(self, record: bytes, after: int) -> int:
        """Make a record durable on a majority, right behind the record ``after``; its sequence.

        Where an earlier attempt turns out to have succeeded, that is success. Raises ``LogFenced`` and
        ``LogUnavailable``.
        """
        assert len(record) <= RECORD_BYTES_MAX
        headers = {EXPECTED_LAST: str(after)}
        try:
            return await self._jetstream.put(self._subject, record, headers, self._answer_seconds)
        except NoAnswer as error:
            raise LogUnavailable(str(error)) from error
        except Refusal as refusal:
            if refusal.code not in WRONG_LAST_SEQUENCE:
                raise LogUnavailable(f"{self._stream}: {refusal}") from refusal
            return await self._not_behind(record, after, refusal)

    async def read(self, first: int, count: int) -> list[tuple[int, bytes]]:
        """Up to ``count`` records from ``first`` on, each with its sequence; empty at the end. From any replica.

        Raises ``LogUnavailable`` where no replica answers.
        """
        found = await self._get(self._stream, first, count, self._subject)
        return [(each.sequence, each.data) for each in found]

    async def last(self) -> int:
        """The sequence of the last record that was appended; 0 for none. Asked of the leader.

        Raises ``LogUnavailable`` while there is none.
        """
        return await self._last_of(self._stream)

    async def forget(self, before: int) -> None:
        """Let go of all records before this sequence. Raises ``LogUnavailable``."""
        await self._purge(self._stream, before)

    async def empty(self) -> int:
        """Let go of all records and snapshots; the sequence that the next record must stand behind.

        Sequences go on: nothing that was ever written gets the number of something else.
        """
        await self._purge(self._stream, None)
        await self._purge(self._snapshots, None)
        return await self.last()

    async def seal(self, record: bytes, first: int) -> list[tuple[int, bytes]]:
        """Append a record behind whatever is there; what is there from ``first`` on, the record with it.

        Afterwards nobody who believes to know the end of this log can append. Raises ``LogUnavailable``, also while
        the log has no leader; then it is to be tried again, with the same record.
        """
        found: list[tuple[int, bytes]] = []
        position = first
        for _ in range(LOOKS_MAX):
            state = (await self._info(self._stream))["state"]
            while more := await self.read(position, READ_RECORDS_MAX):
                found += more
                position = more[-1][0] + 1
            if found and found[-1][1] == record:
                return found
            # Else a replica answered that has not got all yet. Of an emptied log nothing can be read.
            if position > state["last_seq"] or state["messages"] == 0:
                try:
                    end = await self.append(record, max(state["last_seq"], position - 1))
                except LogFenced:
                    pass
                else:
                    return [*found, (end, record)]
            await asyncio.sleep(LOOK_SECONDS)
        raise LogUnavailable(f"the end of {self._stream} moves on, or no replica has it")

    async def put_snapshot(self, sequence: int, parts: AsyncIterator[bytes]) -> None:
        """Keep a snapshot; the one before it goes when this is complete. Raises ``LogFenced``, ``LogUnavailable``."""
        snapshot_id = secrets.token_hex(8)
        last = await self._last_of(self._snapshots)
        first, chunks, size = last + 1, 0, 0
        async for part in parts:
            for start in range(0, len(part), RECORD_BYTES_MAX):
                chunk = part[start : start + RECORD_BYTES_MAX]
                last = await self._put_part((snapshot_id, str(chunks)), chunk, last)
                chunks += 1
                size += len(chunk)
        manifest = _Manifest(snapshot_id, sequence, first, chunks, size)
        await self._put_part((MANIFEST,), manifest.encode(), last)
        await self._purge(self._snapshots, first)

    async def snapshot(self) -> Snapshot | None:
        """The last complete snapshot. From any replica. Raises ``LogUnavailable``."""
        subject = names.snapshot_subject(self._node_id, MANIFEST)
        found = await self._get_from_any(self._snapshots, {"multi_last": [subject]})
        if not found:
            return None
        manifest = decode_manifest(found[0].data)
        return Snapshot(manifest.sequence, manifest.size_bytes, self._parts(manifest))

    async def _parts(self, manifest: _Manifest) -> AsyncIterator[bytes]:
        """The chunks in order, as they were given; a gap means that another snapshot came meanwhile."""
        subject = names.snapshot_subject(self._node_id, manifest.snapshot_id, "*")
        sequence = manifest.first
        end = manifest.first + manifest.chunks
        while sequence < end:
            found = await self._get(self._snapshots, sequence, end - sequence, subject)
            for each in found:
                if each.sequence != sequence:
                    break
                yield each.data
                sequence += 1
            else:
                if found:
                    continue
            raise LogUnavailable(
                f"a part of the snapshot is not there (any more): {self._snapshots}"
            )

    async def _put_part(self, parts: tuple[str, ...], data: bytes, after: int) -> int:
        subject = names.snapshot_subject(self._node_id, *parts)
        try:
            return await self._jetstream.put(
                subject, data, {EXPECTED_LAST: str(after)}, CHUNK_SECONDS_MAX
            )
        except NoAnswer as error:
            raise LogUnavailable(str(error)) from error
        except Refusal as refusal:
            if refusal.code in WRONG_LAST_SEQUENCE:
                raise LogFenced(f"somebody else writes to {self._snapshots}") from refusal
            raise LogUnavailable(f"{self._snapshots}: {refusal}") from refusal

    async def _not_behind(self, record: bytes, after: int, refusal: Refusal) -> int:
        """Find out why a record does not stand behind ``after``: another does, or itself, from an earlier attempt."""
        last = after
        for _ in range(LOOKS_MAX):
            found = await self._get(self._stream, after + 1, 1, self._subject)
            if found and found[0] == Stored(after + 1, self._subject, record):
                return after + 1
            last = await self.last()
            if found or last < after:
                break
            # A replica answered that has not got it yet.
            await asyncio.sleep(LOOK_SECONDS)
        if last > after:
            raise LogFenced(f"{self._stream} ends at {last}, not at {after}") from refusal
        text = f"{self._stream} ends at {last} and takes nothing behind {after}: {refusal}"
        raise LogUnavailable(text) from refusal

    async def _get(self, stream: str, first: int, count: int, subject: str) -> list[Stored]:
        asked: dict[str, object] = {
            "seq": max(1, first),
            "batch": min(count, READ_RECORDS_MAX),
            # What was let go of is stepped over.
            "next_by_subj": subject,
        }
        return await self._get_from_any(stream, asked)

    async def _get_from_any(self, stream: str, asked: dict[str, object]) -> list[Stored]:
        """Read, and again while nobody answers.

        A dying server swallows what it is asked, and a new replica takes some seconds until it answers itself.
        """
        deadline = asyncio.get_running_loop().time() + READ_SECONDS_MAX
        while True:
            try:
                return await self._jetstream.get(stream, asked)
            except NoAnswer as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise LogUnavailable(str(error)) from error
            except Refusal as refusal:
                raise LogUnavailable(f"{stream}: {refusal}") from refusal

    async def _info(self, stream: str) -> dict[str, dict[str, int]]:
        try:
            return await stream_info(self._jetstream, stream)
        except (NoAnswer, Refusal) as error:
            raise LogUnavailable(f"{stream}: {error}") from error

    async def _last_of(self, stream: str) -> int:
        return int((await self._info(stream))["state"]["last_seq"])

    async def _purge(self, stream: str, before: int | None) -> None:
        asked = {} if before is None else {"seq": before}
        try:
            await self._jetstream.api(f"STREAM.PURGE.{stream}", asked, CHUNK_SECONDS_MAX)
        except (NoAnswer, Refusal) as error:
            raise LogUnavailable(f"{stream}: {error}") from error


def decode_manifest(data: bytes) -> _Manifest:
    """Read a manifest. One of a version we do not know is a mistake of the operator's, who runs an older program."""
    told = json.loads(data)
    if told["version"] != MANIFEST_VERSION:
        unknown_version(told["version"])
    return _Manifest(
        str(told["id"]),
        int(told["sequence"]),
        int(told["first"]),
        int(told["chunks"]),
        int(told["size_bytes"]),
    )


def unknown_version(version: object) -> NoReturn:
    """Refuse a snapshot that a later program made."""
    raise LogUnavailable(
        f"the snapshot is of version {version}, and this program knows {MANIFEST_VERSION}:"
        " run the version of rookery that wrote it, or a later one"
    )
