"""Topic filters with placeholders: ``devices/${clientid}/#``, or ``devices/%c/#``.

What stands in for a placeholder comes from the client, so it must not be able to say more than a piece of
one topic level. A value that is empty, has ``/``, ``+``, ``#`` or U+0000 in it, or would make a filter begin
with ``$``, is *unsafe*. A filter that allows something then stands for nothing. One that denies
something stands for all that begins as it does up to the placeholder, or a client could choose a name that
no refusal fits.

Values are put in once: one that looks like a placeholder itself is taken to the letter.
"""

import re
from collections.abc import Callable
from typing import Final

from rookery.auth.filters import split_filter
from rookery.ports import Principal

PLACEHOLDER: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.-]*)\}|%([uc])")
SHORT_NAMES: Final = {"u": "username", "c": "clientid"}
OWN_NAMES: Final = ("username", "clientid", "client_id")
ANY_SAFE: Final = "x"


class Template:
    """A topic filter, as it is or with placeholders. Raises ``ValueError`` for one that is not valid."""

    def __init__(self, text: str, *, plain: bool = False) -> None:
        """``plain`` takes everything to the letter."""
        self.text = text
        self._parts: list[str] = []
        self._names: list[str] = []
        at = 0
        for found in () if plain else PLACEHOLDER.finditer(text):
            self._parts.append(text[at : found.start()])
            self._names.append(known_name(found))
            at = found.end()
        self._parts.append(text[at:])
        levels = split_filter(self._filled(lambda _name: ANY_SAFE))
        self._levels: list[str] | None = None if self._names else levels
        self._refused = _up_to_wildcard(self._parts[0]) if self._names else levels

    @property
    def names(self) -> list[str]:
        """The names of the placeholders."""
        return self._names

    def levels(self, principal: Principal, *, allow: bool) -> list[str] | None:
        """The topic levels for this principal; ``None`` where the filter stands for nothing."""
        if self._levels is not None:
            return self._levels
        values: dict[str, str] = {}
        for name in self._names:
            value = value_of(principal, name)
            if value is None:
                return None
            values[name] = value
        text = self._filled(values.__getitem__)
        if not all(map(is_safe, values.values())):
            return None if allow else self._refused
        if allow and text.startswith("$") and not self._parts[0]:
            return None
        return split_filter(text)

    def _filled(self, value: Callable[[str], str]) -> str:
        text = self._parts[0]
        for name, part in zip(self._names, self._parts[1:], strict=True):
            text += value(name) + part
        return text


def filled(text: str, principal: Principal) -> str | None:
    """A text with the principal's values in it; ``None`` where one is absent or unsafe."""
    values: dict[str, str] = {}
    for found in PLACEHOLDER.finditer(text):
        name = known_name(found)
        value = value_of(principal, name)
        if value is None or not is_safe(value) or value.startswith("$"):
            return None
        values[name] = value
    return PLACEHOLDER.sub(lambda found: values[known_name(found)], text)


def known_name(found: re.Match[str]) -> str:
    """The name of a placeholder. Raises ``ValueError`` where clients have nothing of that name."""
    name: str = found[1] or SHORT_NAMES[found[2]]
    if name not in OWN_NAMES and not name.startswith("cert_") and "." not in name:
        raise ValueError(
            f"there is no placeholder ${{{name}}}: known are ${{username}}, ${{clientid}}, "
            "${cert_common_name} and its like, and claims as ${jwt.sub}"
        )
    return name


def is_safe(value: str) -> bool:
    """Whether a value is no more than a piece of one topic level."""
    return bool(value) and not any(character in value for character in "/+#\0")


def value_of(principal: Principal, name: str) -> str | None:
    """What a placeholder stands for; ``None`` where the principal has no such thing."""
    if name == "username":
        return principal.name
    if name in ("clientid", "client_id"):
        return principal.client_id
    return principal.attributes.get(name)


def _up_to_wildcard(start: str) -> list[str]:
    """All that begins with the levels before the one that a placeholder is in."""
    return [*start.split("/")[:-1], "#"]
