"""Messages that no client sends again if they cannot be kept: wills, and what a share group handed over.

Each is remembered until its commit group is durable. When a commit fails it is published once more as soon as messages
are taken again, and the rows that are only true with it wait for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.actors.clock import chance
from rookery.message import Delivery, Message
from rookery.mqtt.topics import split_share
from rookery.routing.subscriber import Recipient

if TYPE_CHECKING:
    from rookery.engine.broker import Broker

NOT_TAKEN: Final = 1 << 62
"""Stands for the group of a message whose group failed: no group has this number."""


class Own:
    """A message that no client sends again if its commit fails."""

    def __init__(
        self, group: int, message: Message, share: str, number: int, position: int
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
        """The session whose rows go with it; 0 when it has none."""


class OwnMessages:
    """Those that are not known to be durable."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._committer = broker.committer
        self._own: list[Own] = []

    def publish_will(self, message: Message, number: int) -> None:
        """Publish a will; when messages are taken again if it cannot be kept now, for nobody else would.

        ``number`` names the session, whose row says whether the will is still to come.
        """
        publishing = self._broker.publishing
        group = NOT_TAKEN
        if not (self._committer.failing and publishing.must_be_kept(message)):
            group = publishing.publish(message)
        self._remember(group, message, "", number, 0)

    def hand_over(self, delivery: Delivery, recipient: Recipient, number: int) -> None:
        """Give a message that one member of a share group could not take to another.

        ``number`` names the session it was taken from, which is done with it only when it is kept anew.
        """
        committer = self._committer
        group = NOT_TAKEN
        if not (committer.failing and recipient.subscriber.durable):
            publishing = self._broker.publishing
            group = publishing.give(delivery.message, recipient, delivery.share)
        if delivery.position and group:
            committer.refer(delivery.position, 1)
            committer.release_with_group(delivery.position)
        self._remember(group, delivery.message, delivery.share, number, delivery.position)

    def _remember(
        self, group: int, message: Message, share: str, number: int, position: int
    ) -> None:
        durable = self._committer.durable
        self._own = [each for each in self._own if each.group > durable]
        if group:
            self._own.append(Own(group, message, share, number, position))
            if number:
                self._committer.tie(number)

    def not_taken(self, first: int) -> None:
        """A commit failed, and with it all that is not durable: messages from this position on, where it is not 0.

        Those that were handed over and had never been taken their publishers send again.
        """
        durable = self._committer.durable
        self._own = [
            each
            for each in self._own
            if each.group > durable and not (first and each.position >= first)
        ]
        for each in self._own:
            each.group = NOT_TAKEN

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
                self._remember(group, again, "", each.number, 0)
            else:
                self.publish_will(again, each.number)

    def _hand_over_again(self, again: Message, own: Own) -> None:
        shared = split_share(own.share)
        assert shared is not None
        group = self._broker.router.share(shared[0], shared[1])
        recipient = None if group is None else group.pick(chance(), None)
        if recipient is not None:
            delivery = Delivery(again, again.qos, False, recipient.identifiers, own.share)
            self.hand_over(delivery, recipient, own.number)


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
