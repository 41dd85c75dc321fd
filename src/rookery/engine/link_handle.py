"""What the engine asks of a network connection; ``net.link_io`` provides it."""

from typing import Final

from mypy_extensions import mypyc_attr

from rookery.ports import PeerCertificate


@mypyc_attr(allow_interpreted_subclasses=True)
class LinkHandle:
    """The network's side of one link."""

    def __init__(self) -> None:
        self.unsent_bytes: int = 0
        """What was written and not yet taken by the operating system."""
        self.relayed: bool = False
        """Whether the client is connected to another node, which counts it and knows how it was let in."""

    def request_flush(self) -> None:
        """Have the link's output written at the end of this turn."""
        raise NotImplementedError

    def request_work(self, first: bool = False) -> None:
        """Have the client link go on with the packets it holds, in the next turn.

        ``first`` says that it had nothing of this one, so that it comes before those that had.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Write what is out as far as the client takes it, then end the connection."""
        raise NotImplementedError

    def pause(self) -> None:
        """Read nothing more until ``resume``: the kernel's window then stops the client."""
        raise NotImplementedError

    def resume(self) -> None:
        """Read again."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close the connection at once, whatever is unsent."""
        raise NotImplementedError

    def certificate(self) -> PeerCertificate | None:
        """The client's verified certificate."""
        raise NotImplementedError


class ClosedHandle(LinkHandle):
    """What a link has in place of a connection that is gone: nothing it asks for matters any more."""

    def request_flush(self) -> None:
        """There is nobody to write to."""

    def request_work(self, first: bool = False) -> None:
        """A link that ended holds no packets."""

    def close(self) -> None:
        """It is closed."""

    def pause(self) -> None:
        """Nothing is read."""

    def resume(self) -> None:
        """Nothing can be read."""

    def abort(self) -> None:
        """It is closed."""

    def certificate(self) -> PeerCertificate | None:
        """Whoever asked for it got it at CONNECT."""
        return None


CLOSED: Final = ClosedHandle()
