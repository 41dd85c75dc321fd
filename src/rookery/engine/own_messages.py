"""Messages that no client sends again if they cannot be kept: wills, and what a share group handed over.

Each is remembered until its commit group is durable. When a commit fails it is published once more as soon as messages
are taken again, and the session rows that are only true with it wait for that. How far a session has come does not wait:
it goes on to say that what was handed over is owed there, until a group says otherwise and has the message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.actors.clock import chance
from rookery.engine.committer import Waiter
from rookery.engine.stats import DROP_SESSION_ENDED
from rookery.message import Delivery, Message
from rookery.mqtt.topics import split_share
from rookery.routing.subscriber import Recipient

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.session_actor import SessionActor

NOT_TAKEN: Final = 1 << 62
"""Stands for the group of a message whose group failed: no group has this number."""


class Own:
    """A message that no client sends again if its commit fails."""

    def __init__(
        self,
        group: int,
        message: Message,
        share: str,
        number: int,
        position: int,
        holder: SessionActor | None,
    ) -> None:
        self.position = position
        """Where the message lay in the log before; 0 for one that did not."""
        self.group = group
        self.told: bool = group != NOT_TAKEN
        """Whether it was published, though perhaps not kept."""
        self.message = message
        self.share = share
        """The share group it was handed over in; empty for a will."""
        self.number = number
        """The session whose row goes with it; 0 when it has none."""
        self.holder = holder
        """The session that is owed it until it is kept anew."""


class OwnMessages(Waiter):
    """Those that are not known to be durable."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._committer = broker.committer
        self._own: list[Own] = []
        self._waits_for: int = 0
        """The last commit group that is waited for."""

    def publish_will(self, message: Message, number: int) -> None:
        """Publish a will; when messages are taken again if it cannot be kept now, for nobody else would.

        ``number`` names the session, whose row says whether the will is still to come.
        """
        publishing = self._broker.publishing
        group = NOT_TAKEN
        if not (self._committer.failing and publishing.must_be_kept(message)):
            group = publishing.publish(message)
        self._remember(Own(group, message, "", number, 0, None))

    def hand_over(
        self, delivery: Delivery, recipient: Recipient, number: int, holder: SessionActor | None
    ) -> None:
        """Give a message that one member of a share group could not take to another.

        ``number`` names the session it was taken from. ``holder`` is that session if it goes on being owed the
        message until it is kept anew: it is then finished with it here.
        """
        committer = self._committer
        position = delivery.position
        group = self._give(delivery.message, recipient, delivery.share)
        if position and group:
            committer.refer(position, 1)
            committer.release_with_group(position)
        self._remember(Own(group, delivery.message, delivery.share, number, position, holder))

    def _give(self, message: Message, recipient: Recipient, share: str) -> int:
        if self._committer.failing and recipient.subscriber.durable:
            return NOT_TAKEN
        return self._broker.publishing.give(message, recipient, share)

    def _remember(self, own: Own) -> None:
        if not own.group:
            self._let_go(own)
            return
        self._own.append(own)
        if own.number:
            self._committer.tie(own.number)
        if own.group == NOT_TAKEN:
            return
        if own.group > self._waits_for:
            self._waits_for = own.group
            self._committer.wait(own.group, self)
        holder = own.holder
        owed = None if holder is None else holder.session.outbound.owed
        if holder is not None and owed is not None and own.position:
            owed.pass_on(own.position)
            self._committer.touch(holder)

    def _let_go(self, own: Own) -> None:
        """The message is durable elsewhere, or nobody is to have it: its holder is done with it."""
        holder = own.holder
        if holder is not None and not holder.ended:
            self._end_passing_on(own)
            holder.finish(own.position)

    def _end_passing_on(self, own: Own) -> None:
        holder = own.holder
        owed = None if holder is None else holder.session.outbound.owed
        if owed is not None:
            owed.end_passing_on(own.position)

    def committed(self, group: int, error: Exception | None) -> None:
        """What the group has is durable; that it failed was seen to when it did."""
        if error is not None:
            return
        left: list[Own] = []
        for each in self._own:
            if each.group > group:
                left.append(each)
            else:
                self._let_go(each)
        self._own = left

    def room(self) -> None:
        """Nothing here waits for room."""

    def not_taken(self, first: int) -> None:
        """A commit failed, and with it all that is not durable: messages from this position on, where it is not 0.

        Those that were handed over and had never been taken their publishers send again.
        """
        left: list[Own] = []
        for each in self._own:
            if first and each.position >= first:
                self._let_go(each)
                continue
            each.group = NOT_TAKEN
            left.append(each)
            holder = each.holder
            if holder is not None:
                self._end_passing_on(each)
                # What the failed groups said of its progress is kept for the next one, and is no longer so.
                self._committer.group.progress.pop(holder.number, None)
                self._committer.touch(holder)
        self._own = left

    def publish_again(self) -> None:
        """Messages are taken again: what no client will send again is published once more."""
        own, self._own = self._own, []
        for each in own:
            if each.group != NOT_TAKEN:
                self._own.append(each)
                continue
            again = copy_of(each.message)
            if each.share:
                self._hand_over_again(again, each)
            elif each.told:
                group = self._broker.publishing.publish_once_more(again)
                self._remember(Own(group, again, "", each.number, 0, None))
            else:
                self.publish_will(again, each.number)

    def _hand_over_again(self, again: Message, own: Own) -> None:
        shared = split_share(own.share)
        assert shared is not None
        group = self._broker.router.share(shared[0], shared[1])
        recipient = None if group is None else group.pick(chance(), None)
        if recipient is None:
            self._broker.stats.drop(DROP_SESSION_ENDED)
            self._let_go(own)
            return
        given = self._give(again, recipient, own.share)
        self._remember(Own(given, again, own.share, own.number, own.position, own.holder))


def copy_of(message: Message) -> Message:
    """The same message with no place in the log."""
    copy = Message(
        message.topic,
        message.topic_wire,
        message.payload,
        message.qos,
        message.retain,
        message.properties,
        message.publisher,
        0.0,
    )
    copy.expires_at = message.expires_at
    return copy
