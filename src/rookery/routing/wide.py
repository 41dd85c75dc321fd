"""A mapping that never stalls its caller, however many keys it has.

A ``dict`` that grows past a million keys copies them all inside one insertion, which takes tens of
milliseconds. ``WideDict`` starts as a single slot (most levels of a topic tree have one child),
becomes one ``dict`` with its second key and is spread once, while that is still cheap, over many
small dicts that grow by themselves. A key's part depends on its hash only, so a walk that takes one
part's keys at a time sees every key that stays, once, however the mapping changes in between.
"""

from typing import Final, Generic, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")

SPREAD_AT_KEYS: Final = 16_384
"""Spreading so many keys takes about a millisecond, compiled."""
PARTS: Final = 256


class WideDict(Generic[K, V]):
    """A mapping whose every operation takes bounded time; ``None`` is neither a key nor a value."""

    def __init__(self) -> None:
        self.count: int = 0
        self._key: K | None = None
        self._value: V | None = None
        self._parts: list[dict[K, V]] | None = None

    def get(self, key: K) -> V | None:
        """Return the value of a key, ``None`` when it is absent."""
        parts = self._parts
        if parts is None:
            return self._value if self._key == key else None
        if len(parts) == 1:
            return parts[0].get(key)
        return parts[part_of(hash(key))].get(key)

    def put(self, key: K, value: V) -> bool:
        """Set the value of a key; return whether the key is new."""
        parts = self._parts
        if parts is None:
            if self.count == 0 or self._key == key:
                return self._put_single(key, value)
            parts = [{cast(K, self._key): cast(V, self._value)}]
            self._parts = parts
            self._key = None
            self._value = None
        elif len(parts) == 1 and self.count >= SPREAD_AT_KEYS:
            parts = spread(parts[0])
            self._parts = parts
        part = parts[0] if len(parts) == 1 else parts[part_of(hash(key))]
        keys_before = len(part)
        part[key] = value
        if len(part) == keys_before:
            return False
        self.count += 1
        return True

    def pop(self, key: K) -> V | None:
        """Remove a key and return its value, ``None`` when it is absent."""
        value = self.get(key)
        if value is None:
            return None
        self.count -= 1
        parts = self._parts
        if self.count == 0:
            self._key = None
            self._value = None
            self._parts = None
            return value
        assert parts is not None  # The single slot holds no second key.
        number = 0 if len(parts) == 1 else part_of(hash(key))
        part = parts[number]
        del part[key]
        if not part:
            # A dict keeps its table when it is emptied: free each now, not all with the last key.
            parts[number] = {}
        return value

    def values_into(self, values: list[V]) -> None:
        """Append all values to a list."""
        parts = self._parts
        if parts is not None:
            for part in parts:
                values.extend(part.values())
        elif self.count != 0:
            values.append(cast(V, self._value))

    def part_count(self) -> int:
        """Return how many parts a walk that begins now has to ask ``part_keys`` for."""
        parts = self._parts
        return 1 if parts is None else len(parts)

    def part_keys(self, number: int) -> list[K]:
        """Return the keys of one part as they are now; none when the part is no more."""
        parts = self._parts
        if parts is not None:
            return list(parts[number]) if number < len(parts) else []
        if self.count == 0 or number != 0:
            return []
        return [cast(K, self._key)]

    def _put_single(self, key: K, value: V) -> bool:
        self._key = key
        self._value = value
        if self.count == 1:
            return False
        self.count = 1
        return True


def spread(single: dict[K, V]) -> list[dict[K, V]]:
    """Return the keys of one dict spread over ``PARTS`` dicts."""
    parts: list[dict[K, V]] = [{} for _ in range(PARTS)]
    for key, value in single.items():
        parts[part_of(hash(key))][key] = value
    return parts


def part_of(key_hash: int) -> int:
    """Return the part of a key with this hash.

    A dict places a key by the low bits of its hash. Were the part those bits too, all keys of a
    part would collide, so they are mixed first. The factors keep the product below 62 bits, which
    the compiled code computes without an allocation.
    """
    return (((key_hash & 0x3FFF_FFFF) * 0x9E37_79B1) >> 24) % PARTS
