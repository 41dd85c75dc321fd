"""Names with wildcards: ``*`` stands for any letters, ``?`` for any one.

Matching takes time linear in the name, whatever the pattern: there is no going back, as in a regular
expression there would be. What stands between two ``*`` is looked for from left to right, and the first place
it is found at is as good as any later one.
"""

from typing import Final, final

MANY: Final = "*"
ONE: Final = "?"


def is_glob(pattern: str) -> bool:
    """Whether a pattern stands for more than one name."""
    return MANY in pattern or ONE in pattern


@final
class Part:
    """What stands between two ``*``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.length = len(text)
        self._literal = ONE not in text
        self._any = 0
        self._places: dict[str, int] = {}
        """For each letter the places in the part that it fits, as bits."""
        for place, letter in enumerate(text):
            if letter == ONE:
                self._any |= 1 << place
            else:
                self._places[letter] = self._places.get(letter, 0) | 1 << place

    def fits(self, name: str, at: int) -> bool:
        """Whether the part stands at this place of the name."""
        if self._literal:
            return name.startswith(self.text, at)
        if at + self.length > len(name):
            return False
        return all(
            letter == ONE or letter == name[at + place] for place, letter in enumerate(self.text)
        )

    def find(self, name: str, start: int, end: int) -> int:
        """Where the part first stands in a stretch of the name; -1 where it does not."""
        if self._literal:
            return name.find(self.text, start, end)
        # All places at which the part could have begun, at once: bit i says that i + 1 letters of it fit.
        begun = 0
        whole = 1 << (self.length - 1)
        for at in range(start, end):
            begun = (begun << 1 | 1) & (self._places.get(name[at], 0) | self._any)
            if begun & whole:
                return at + 1 - self.length
        return -1


@final
class Glob:
    """One pattern, ready to be matched."""

    def __init__(self, pattern: str) -> None:
        first, *rest = pattern.split(MANY)
        self._head = Part(first)
        self._tail = Part(rest[-1]) if rest else None
        """``None`` where there is no ``*``: the head is all there is."""
        self._between = [Part(text) for text in rest[:-1] if text]
        self._length_min = len(pattern) - pattern.count(MANY)

    def matches(self, name: str) -> bool:
        """Whether the name is one that the pattern stands for."""
        tail = self._tail
        if len(name) < self._length_min or not self._head.fits(name, 0):
            return False
        if tail is None:
            return len(name) == self._length_min
        end = len(name) - tail.length
        if not tail.fits(name, end):
            return False
        at = self._head.length
        for part in self._between:
            found = part.find(name, at, end)
            if found < 0:
                return False
            at = found + part.length
        return True
