"""What a replicated log says, record by record: which groups hold, and which were given up.

A group is complete with the last of its records, and still may be void: its writer gave it up when the log did
not answer, and appended something else behind it. That is known from the record that comes next, which names
the one it follows; so a group is given out when the next record confirms it, or by ``confirm`` at the end.
"""

from typing import Final

import structlog

from rookery.ports import LogFenced
from rookery.records import Group
from rookery.records_wire import GROUP, SEAL, DamagedRecord, Record, decode_group, decode_record
from rookery.store.faults import StoreFault

log: Final = structlog.get_logger("rookery.store")

RECORDS_AT_A_TIME: Final = 64
"""How many are asked for at once: each may have a megabyte."""


class Gap(StoreFault):
    """Records are missing between what is known and what comes next."""


class Replay:
    """Takes the records of one cell's epoch in order. Others of earlier epochs count for nothing."""

    def __init__(self, epoch: int, applied: int) -> None:
        self.epoch = epoch
        self.applied = applied
        """The last record that counts, of those given out."""
        self.end = applied
        """The last record that was taken."""
        self.sealed: str | None = None
        """Who has taken over the cell."""
        self.wall: float = 0.0
        """When the last record was written."""
        self.record_bytes: int = 0
        """The bytes of all that was taken."""
        self._before = applied
        """What counted before the last that was given out."""
        self._held: Group | None = None
        self._held_at: int = 0
        """The record that completes what is held; 0 for none."""
        self._parts: list[bytes] = []

    def take(self, sequence: int, data: bytes) -> Group | None:
        """One more record; the group that it confirms, if any.

        Raises ``Gap``, ``LogFenced`` for one of a later epoch, and ``StoreFault`` for a damaged one.
        """
        try:
            record = decode_record(data)
            if record.epoch > self.epoch:
                raise LogFenced(
                    f"record {sequence} is of epoch {record.epoch}, and ours is {self.epoch}"
                )
            self.record_bytes += len(data)
            if record.epoch < self.epoch:
                self.end = sequence
                return None
            self.wall = record.wall_ms / 1000.0
            if record.part:
                self._add(sequence, record)
                self.end = sequence
                return None
            confirmed = self._judged(sequence, record)
            self.end = sequence
            self._hold(sequence, record)
        except DamagedRecord as fault:
            raise StoreFault(f"record {sequence} of the log is damaged: {fault}") from fault
        return confirmed

    def confirm(self) -> Group | None:
        """There is nothing behind what was taken: the group that is held, if any, holds."""
        return self._given() if self._held_at else None

    def confirmable(self) -> int:
        """The last record that counts if nothing comes behind it."""
        return self._held_at or self.applied

    def _judged(self, sequence: int, record: Record) -> Group | None:
        """What becomes of the group that is held, now that it is known what comes next."""
        self._parts = []
        if self._held_at and record.follows == self._held_at:
            return self._given()
        self._held, self._held_at = None, 0
        if record.follows == self.applied:
            return None
        if self._before <= record.follows < self.applied:
            # Only who reads another's log gives out what may be void: it was never acknowledged.
            log.warning("group_was_given_up", record=self.applied, told_by=sequence)
            return None
        raise Gap(
            f"record {sequence} of the log follows {record.follows}, and the last known is {self.applied}"
        )

    def _given(self) -> Group | None:
        group, self._held = self._held, None
        self._before, self.applied, self._held_at = self.applied, self._held_at, 0
        return group

    def _hold(self, sequence: int, record: Record) -> None:
        if record.kind == SEAL:
            self.sealed = record.payload.decode(errors="replace")
        if record.kind == GROUP and not record.last:
            self._parts.append(record.payload)
            return
        self._held = decode_group(record.payload) if record.kind == GROUP else None
        self._held_at = sequence

    def _add(self, sequence: int, record: Record) -> None:
        if record.follows != self.end or record.part != len(self._parts):
            raise Gap(f"record {sequence} of the log continues {record.follows}, which is missing")
        self._parts.append(record.payload)
        if record.last:
            self._held, self._held_at = decode_group(b"".join(self._parts)), sequence
            self._parts = []
