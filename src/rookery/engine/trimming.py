"""Exact trimming: of blocks that are mostly dead weight only the entries stay that somebody is owed.

The committer forgets a block with its last reference. One slow session that is owed a message here and there
would keep all that was stored around them. So when much of what is stored may be dead, the trimmer looks:
it marks what is still referred to in the blocks in question, by walking what every session is owed and what is
retained, a little in every turn; then it puts what is left of these blocks into commit groups, a little in each.

That an entry is seen once suffices: references to an entry are given in the turn in which it is appended, and
only taken back afterwards; a block is in question once its group was handed over. So what was not seen is
dead and stays so, however long the walk takes, and that its last owner is done with it stands in the same
group or an earlier one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.engine.references import mostly_live
from rookery.records import block_of, index_of, position_of
from rookery.routing.retained import RetainedCursor
from rookery.session.backlog import BacklogWalk

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.session_actor import SessionActor

LOOSE_BYTES_MIN: Final = 4_194_304
"""Bytes that may be dead, below which nobody looks."""
LOOSE_PARTS: Final = 4
"""A quarter of what is stored may be dead before somebody looks: what a walk costs is then paid by what
has come and gone since the last one."""
LOOKS_PER_TURN: Final = 2_000
WALK_POSITIONS: Final = 256
TRIM_BYTES_PER_GROUP: Final = 1_048_576
"""Bytes of the blocks that one group trims, so that no commit waits long for it."""
TRIM_BLOCKS_PER_GROUP: Final = 1_024

RESTING: Final = 0
CHOOSING: Final = 1
SESSIONS: Final = 2
RETAINED: Final = 3
TRIMMING: Final = 4


class Trimmer:
    """Walks and trims when that is worthwhile, in steps of bounded work."""

    def __init__(self, broker: Broker) -> None:
        self.loose_bytes_min: int = LOOSE_BYTES_MIN
        self.looks_max: int = LOOKS_PER_TURN
        self.looks: int = 0
        """What the last step looked at: blocks, positions, sessions, retained topics."""
        self.walks: int = 0
        """How many walks were begun."""
        self.pauses: int = 0
        """How many ask that no walk begins: they refer to entries of the log from where no walk looks."""
        self._broker = broker
        self._committer = broker.committer
        self._references = broker.committer.references
        self._stage: int = RESTING
        self._blocks: list[int] = []
        self._seen: dict[int, int] = {}
        """By block in question: a bit for each place that somebody is owed."""
        self._actors: list[SessionActor] = []
        self._walk: BacklogWalk | None = None
        self._cursor: RetainedCursor | None = None

    def step(self) -> None:
        """Do a little; the turn's deliveries are made and its group is not yet handed over."""
        if self._broker.draining:
            return
        if self._stage == RESTING:
            if self.pauses:
                return
            references = self._references
            if (
                references.loose_bytes < self.loose_bytes_min
                or references.loose_bytes * LOOSE_PARTS < references.stored_bytes
                or self._waits()
            ):
                return
            self._begin()
        self.looks = 0
        while self.looks < self.looks_max and self._stage != TRIMMING:
            if self._stage == CHOOSING:
                self._choose()
            elif self._stage == SESSIONS:
                self._look_at_session()
            else:
                self._look_at_retained()
        if self._stage != TRIMMING:
            self._broker.request_turn()
        elif not self._waits():
            self._trim()

    def _waits(self) -> bool:
        """Whether earlier trims are under way, or nothing can be stored now: the next turn tries again."""
        return self._committer.failing or self._committer.trims_pending()

    def _begin(self) -> None:
        self.walks += 1
        self._blocks = self._references.blocks()
        self._seen = {}
        self._stage = CHOOSING

    def _choose(self) -> None:
        blocks = self._blocks
        while blocks and self.looks < self.looks_max:
            self.looks += 1
            block = blocks.pop()
            if self._references.worth_a_look(block):
                self._seen[block] = 0
        if not blocks:
            # Sessions that come later are owed nothing of what is stored already.
            self._actors = list(self._broker.registry.actors.values())
            self._stage = SESSIONS

    def _look_at_session(self) -> None:
        """Mark what one session is owed, or a part of it: the backlog first.

        What is taken out of the backlog meanwhile is then found among what is on its way.
        """
        self.looks += 1
        if not self._actors:
            self._cursor = self._broker.retained.everything()
            self._stage = RETAINED
            return
        actor = self._actors[-1]
        owed = actor.session.outbound.owed
        if owed is None or actor.ended:
            self._walk = None
            self._actors.pop()
            return
        walk = self._walk
        if walk is None:
            walk = BacklogWalk(owed.backlog)
            self._walk = walk
        self._mark(walk.take(min(WALK_POSITIONS, self.looks_max)))
        if walk.done:
            self._mark(owed.on_their_way())
            self._mark(actor.session.outbound.apart())
            self._mark([delivery.position for delivery in actor.mailbox])
            self._walk = None
            self._actors.pop()

    def _look_at_retained(self) -> None:
        cursor = self._cursor
        assert cursor is not None
        self.looks += WALK_POSITIONS
        self._mark([message.position for message in cursor.take(WALK_POSITIONS, EVER)])
        if cursor.done:
            # What is durable may still name what memory is done with.
            self._mark(self._committer.held_back())
            if self._broker.peers is not None:
                self._mark(self._broker.peers.kept_positions())
            self._cursor = None
            self._stage = TRIMMING

    def _mark(self, positions: list[int]) -> None:
        seen = self._seen
        for position in positions:
            places = seen.get(block_of(position))
            if places is not None:
                seen[block_of(position)] = places | (1 << index_of(position))
        self.looks += len(positions)

    def _trim(self) -> None:
        """Put what is left of some blocks into the open group."""
        group = self._committer.group
        size_bytes = 0
        while (
            self._seen
            and size_bytes < TRIM_BYTES_PER_GROUP
            and len(group.trimmed) < TRIM_BLOCKS_PER_GROUP
        ):
            block, places = self._seen.popitem()
            weight = self._references.weight(block)
            if weight is None or not places:
                continue  # Nobody is owed anything of it any more.
            kept = [
                position
                for position in range(position_of(block, 0), position_of(block + 1, 0))
                if places & (1 << index_of(position))
            ]
            if mostly_live(len(kept), weight.entries):
                self._references.reduce(block, weight.entries)
                continue
            size_bytes += weight.size_bytes
            group.trimmed[block] = kept
        if group.trimmed:
            self._committer.must_keep()
        if not self._seen:
            self._stage = RESTING


EVER: Final = float("-inf")
"""Also what has expired and was not cleared yet is referred to."""
