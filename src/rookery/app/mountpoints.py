"""What stands before the topics of the clients of each listener."""

from collections.abc import Iterable

from rookery.auth.templates import filled
from rookery.config.listeners import Listener
from rookery.ports import Principal


class Mountpoints:
    """The mountpoints of all listeners, by their names."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._by_name = {
            listener.name: listener.mountpoint
            for listener in listeners
            if listener.mountpoint is not None
        }

    def of(self, listener: str, principal: Principal) -> str | None:
        """A client's mountpoint, empty without one; ``None`` where its name or claim is not fit for it."""
        mountpoint = self._by_name.get(listener)
        return "" if mountpoint is None else filled(mountpoint, principal)
