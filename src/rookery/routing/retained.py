"""The retained messages of this node, by topic name.

A tree with one node per topic level. A cursor walks the topic names that match a filter a few at a
time, over many turns of the loop, while the tree changes: it keeps a stack of nodes and, for each,
the keys of one part of its children. A topic name that is there all the time is met once, because
its nodes stay and a key never changes its part; one that comes or goes meanwhile is met once or not.
"""

from __future__ import annotations

from typing import Final

from rookery.message import Message
from rookery.routing.wide import WideDict

LOOKS_MAX: Final = 4_096
"""How many nodes one ``take`` looks at, so that a filter which matches few of very many topic names
does not stall the loop."""


class RetainedNode(WideDict[str, "RetainedNode"]):
    """One topic level: the mapping of its children, and the message of the name that ends here."""

    def __init__(self) -> None:
        super().__init__()
        self.message: Message | None = None


class RetainedIndex:
    """The retained message of each topic name."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        """The sum of the messages' ``size_bytes``."""
        self._root = RetainedNode()

    def put(self, message: Message) -> None:
        """Set the retained message of its topic name. [MQTT-3.3.1-5]

        An empty payload is not for here but for ``remove``. [MQTT-3.3.1-7]
        """
        node = self._root
        for level in message.topic.split("/"):
            child = node.get(level)
            if child is None:
                child = RetainedNode()
                node.put(level, child)
            node = child
        former = node.message
        if former is None:
            self.count += 1
        else:
            self.bytes -= former.size_bytes
        self.bytes += message.size_bytes
        node.message = message

    def get(self, topic: str) -> Message | None:
        """Return the retained message of a topic name, expired or not."""
        node = self._root
        for level in topic.split("/"):
            child = node.get(level)
            if child is None:
                return None
            node = child
        return node.message

    def remove(self, topic: str) -> bool:
        """Remove the retained message of a topic name; return whether there was one."""
        return self._remove(topic, None)

    def remove_if(self, topic: str, message: Message) -> bool:
        """Remove a message that expired, unless another has replaced it since."""
        return self._remove(topic, message)

    def cursor(self, topic_filter: str) -> RetainedCursor:
        """Return a cursor over the messages whose topic names match a valid filter."""
        return RetainedCursor(self._root, topic_filter)

    def everything(self) -> RetainedCursor:
        """Return a cursor over all messages, those whose topic names begin with $ as well."""
        cursor = RetainedCursor(self._root, "#")
        cursor.hides = False
        return cursor

    def _remove(self, topic: str, expected: Message | None) -> bool:
        levels = topic.split("/")
        path = [self._root]
        for level in levels:
            child = path[-1].get(level)
            if child is None:
                return False
            path.append(child)
        message = path[-1].message
        if message is None or (expected is not None and message is not expected):
            return False
        path[-1].message = None
        self.count -= 1
        self.bytes -= message.size_bytes
        for depth in range(len(levels), 0, -1):
            node = path[depth]
            if node.count != 0 or node.message is not None:
                break
            path[depth - 1].pop(levels[depth - 1])
        return True


class Frame:
    """A node whose children are being walked: the keys at hand and the parts still to come."""

    def __init__(self, node: RetainedNode, depth: int) -> None:
        self.node = node
        self.depth = depth
        """How many levels of the filter the node's children are past."""
        self.keys: list[str] = []
        self.position = 0
        self.part = 0
        # Fixed at the start: a node that is spread meanwhile was walked from its only part.
        self.parts = node.part_count()

    def next_key(self) -> str | None:
        """Return the next child's key; ``None`` when this part has none left to give."""
        if self.position == len(self.keys):
            self.keys = self.node.part_keys(self.part)
            self.part += 1
            self.position = 0
            if not self.keys:
                return None
        key = self.keys[self.position]
        self.position += 1
        return key

    def is_done(self) -> bool:
        """Return whether all children have been given."""
        return self.position == len(self.keys) and self.part == self.parts


class RetainedCursor:
    """A walk over the retained messages that match one filter, in the order of the tree."""

    def __init__(self, root: RetainedNode, topic_filter: str) -> None:
        self.done = False
        self.hides = True
        """Whether topic names that begin with $ are passed over."""
        self._levels = topic_filter.split("/")
        self._root = root
        self._frames: list[Frame] = []
        self._node: RetainedNode | None = root
        """The node to look at next, ``None`` when the last frame says which."""
        self._depth = 0
        """How many levels of the filter ``_node`` is past."""

    def take(self, count: int, now: float) -> list[Message]:
        """Return the next messages, at most ``count``, without those expired at ``now`` (seconds).

        Fewer, even none, are returned when many topic names had to be passed over: ask again until
        ``done``.
        """
        messages: list[Message] = []
        looks = 0
        while not self.done and len(messages) < count and looks < LOOKS_MAX:
            looks += 1
            message = self._step()
            if message is not None:
                expires_at = message.expires_at
                if expires_at is None or expires_at > now:
                    messages.append(message)
        return messages

    def _step(self) -> Message | None:
        """Look at one node; return its message if its topic name matches."""
        node = self._node
        if node is None:
            self._next_child()
            return None
        depth = self._depth
        levels = self._levels
        if depth == len(levels):
            self._leave()
            return node.message
        level = levels[depth]
        if level == "#":
            # All below match, and so does this level itself: ``a/#`` matches ``a``.
            self._enter(node, depth)
            return node.message
        if level == "+":
            self._enter(node, depth + 1)
            return None
        child = node.get(level)
        if child is None:
            self._leave()
        else:
            self._node = child
            self._depth = depth + 1
        return None

    def _enter(self, node: RetainedNode, depth: int) -> None:
        if node.count == 0:
            self._leave()
            return
        self._frames.append(Frame(node, depth))
        self._node = None

    def _leave(self) -> None:
        self._node = None
        if not self._frames:
            self.done = True

    def _next_child(self) -> None:
        frame = self._frames[-1]
        key = frame.next_key()
        # [MQTT-4.7.2-1] A leading wildcard matches no topic name that begins with $.
        hidden = key is not None and self.hides and frame.node is self._root and key.startswith("$")
        if key is not None and not hidden:
            self._node = frame.node.get(key)
            self._depth = frame.depth
        if frame.is_done():
            self._frames.pop()
            if self._node is None and not self._frames:
                self.done = True
