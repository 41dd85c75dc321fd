"""What of a changed configuration a running node can take up."""

from collections.abc import Callable

from rookery.config.models import Config

ReloadAction = Callable[[Config], list[str]]
"""Takes up what it can of the new configuration, and returns what needs a restart."""


class Reload:
    """The actions, by the top-level section of the configuration that each answers for."""

    def __init__(self, running: Config) -> None:
        self._running = running
        self._actions: dict[str, ReloadAction] = {}

    def add(self, section: str, action: ReloadAction) -> None:
        """Have a section taken up by this. It is called at each reload, whether or not its section changed."""
        assert section in Config.model_fields, f"there is no section {section!r}"
        assert section not in self._actions, f"{section!r} is taken up by another already"
        self._actions[section] = action

    def apply(self, config: Config) -> list[str]:
        """Take up a new configuration; the names of what needs a restart, sorted."""
        waiting: list[str] = []
        for section in Config.model_fields:
            action = self._actions.get(section)
            if action is not None:
                waiting += action(config)
            elif getattr(config, section) != getattr(self._running, section):
                waiting.append(section)
        return sorted(waiting)
