"""What a link holds back of its output, turn by turn."""


class HeldOutput:
    """Output of one turn that waits for a commit or for other nodes: it says that something is done."""

    def __init__(self, group: int, forwarded: int, data: bytes, acknowledgements: int) -> None:
        self.group = group
        """The commit group that must be durable before."""
        self.forwarded = forwarded
        """The turn whose telling the other nodes must have acknowledged before."""
        self.data = data
        self.acknowledgements = acknowledgements
        """How many QoS 1 messages it acknowledges."""
