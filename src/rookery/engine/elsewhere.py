"""What a link waits for at other nodes before it is let in, or is passed to at one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rookery.engine.client_link import ClientLink


class Elsewhere:
    """The part that other nodes have in one link."""

    def received(self, client: ClientLink, data: bytes, now: float) -> None:
        """Bytes came from a client that is ``RELAYED``."""
        raise NotImplementedError

    def due(self, client: ClientLink, now: float) -> None:
        """A deadline of the link."""
        raise NotImplementedError

    def ended(self, client: ClientLink, reason: str) -> None:
        """The link has ended."""
        raise NotImplementedError
