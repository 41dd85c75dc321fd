"""Everybody is let in. For trusted networks and for trying things out."""

from rookery.ports import Accepted, Attempt, Exchange, Principal


class AnonymousAuthenticator:
    """Accepts every client as an anonymous one, whatever name and password it gives.

    The name was not verified, so rules must not rely on it: the principal has none.
    """

    methods: frozenset[str] = frozenset()

    def authenticate(self, attempt: Attempt) -> Accepted:
        """Accept."""
        return Accepted(
            Principal(
                name=None,
                client_id=attempt.client_id,
                address=attempt.address,
                listener=attempt.listener,
            )
        )

    @property
    def generation(self) -> int:
        """Nothing changes here."""
        return 0

    def still_admits(self, principal: Principal) -> str | None:
        """Whoever was let in stays."""
        return None

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Raise ``ValueError``: there is no enhanced authentication here."""
        raise ValueError(f"no authentication method {method!r} on listener {attempt.listener!r}")
