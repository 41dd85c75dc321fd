"""How the sets of topics of two topic filters relate.

A topic filter stands for the set of topic names it matches (MQTT 5.0, 4.7). A topic name is itself
a filter that matches only itself, so ``covers`` answers for names too. Filters are given split at
``/``, and must be valid; share groups are not part of them.
"""


def split_filter(topic_filter: str) -> list[str]:
    """The topic levels of a valid topic filter or topic name.

    Raises ``ValueError`` where a wildcard does not stand alone on its level or ``#`` is not last.
    """
    levels = topic_filter.split("/")
    if not topic_filter:
        raise ValueError("a topic filter has at least one character")
    for position, level in enumerate(levels):
        if len(level) > 1 and ("+" in level or "#" in level):
            raise ValueError(f"{topic_filter!r}: a wildcard stands alone on its topic level")
        if level == "#" and position != len(levels) - 1:
            raise ValueError(f"{topic_filter!r}: # stands last")
    # "+/#" asks for one level and any number more, which is what "#" asks for.
    return ["#"] if levels == ["+", "#"] else levels


def covers(wide: list[str], narrow: list[str]) -> bool:
    """Whether every topic name that ``narrow`` matches is matched by ``wide``."""
    if _leading_dollar_apart(wide, narrow):
        return False
    for position, level in enumerate(wide):
        if level == "#":
            return True
        if position == len(narrow):
            return False
        other = narrow[position]
        if other == "#" or (level not in ("+", other)):
            return False
    return len(wide) == len(narrow)


def overlaps(one: list[str], other: list[str]) -> bool:
    """Whether some topic name is matched by both."""
    if _leading_dollar_apart(one, other) or _leading_dollar_apart(other, one):
        return False
    for mine, theirs in zip(one, other, strict=False):
        if mine == "#" or theirs == "#":
            return True
        if mine not in (theirs, "+") and theirs != "+":
            return False
    if len(one) == len(other):
        return True
    longer, length = (one, len(other)) if len(one) > len(other) else (other, len(one))
    # "a/#" matches "a" too, the parent of its levels; that of "/#" would be empty, which no topic name is.
    return longer[length:] == ["#"] and (length > 1 or "" not in (one[0], other[0]))


def _leading_dollar_apart(wide: list[str], narrow: list[str]) -> bool:
    # [MQTT-4.7.2-1] A wildcard at the beginning matches no topic name that begins with "$".
    return wide[0] in ("+", "#") and narrow[0].startswith("$")
