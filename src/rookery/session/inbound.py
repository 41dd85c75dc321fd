"""What a session remembers of the messages its client publishes.

Only QoS 2 needs memory: the packet identifiers between PUBREC and PUBREL, so that a resent PUBLISH
is not published twice. [MQTT-4.3.3-10]
"""


class Inbound:
    """The QoS 2 packet identifiers a client has used and not yet released."""

    def __init__(self) -> None:
        self.unreleased: set[int] = set()

    def holds(self, packet_id: int) -> bool:
        """Whether this identifier's message was already taken. [MQTT-4.3.3-10]"""
        return packet_id in self.unreleased

    def hold(self, packet_id: int) -> None:
        """Remember the identifier until its PUBREL."""
        self.unreleased.add(packet_id)

    def release(self, packet_id: int) -> bool:
        """Forget the identifier; False when it was not held. [MQTT-4.3.3-11]"""
        if packet_id in self.unreleased:
            self.unreleased.discard(packet_id)
            return True
        return False
