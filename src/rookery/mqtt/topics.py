"""Topic names and topic filters as text: their rules and their meaning. (MQTT 5.0, 4.7 and 4.8)

``matches`` is the definition, not the way messages are routed: ``rookery.routing`` does that faster
and is tested against it. Nothing is normalised, here or there. [MQTT-4.7.3-4]
"""

from typing import Final

TOPIC_BYTES_MAX: Final = 65_535
"""What the two length bytes can say. [MQTT-4.7.3-3]"""

SHARE_PREFIX: Final = "$share/"


def validate_topic_name(topic: str) -> bool:
    """Whether this text is a topic name (its length on the wire is the decoder's matter)."""
    return (
        topic != ""  # [MQTT-4.7.3-1]
        and "+" not in topic  # [MQTT-4.7.0-1]
        and "#" not in topic
        and "\0" not in topic  # [MQTT-4.7.3-2]
    )


def validate_topic_filter(topic_filter: str, levels_max: int) -> bool:
    """Whether this text is a topic filter of at most ``levels_max`` levels, shared or not.

    The levels of a shared subscription are those of its inner filter.
    """
    if topic_filter.startswith(SHARE_PREFIX):
        shared = split_share(topic_filter)
        if shared is None:
            return False
        topic_filter = shared[1]
    if topic_filter == "" or "\0" in topic_filter:  # [MQTT-4.7.3-1] [MQTT-4.7.3-2]
        return False
    levels = topic_filter.split("/")
    if len(levels) > levels_max:
        return False
    for number, level in enumerate(levels, 1):
        if "#" in level and (level != "#" or number != len(levels)):  # [MQTT-4.7.1-1]
            return False
        if "+" in level and level != "+":  # [MQTT-4.7.1-2]
            return False
    return True


def split_share(topic_filter: str) -> tuple[str, str] | None:
    """The share group and the inner filter of a shared subscription; ``None`` when it is none.

    A filter that begins with ``$share/`` but has no proper group or inner filter is none either:
    ``validate_topic_filter`` refuses it.
    """
    if not topic_filter.startswith(SHARE_PREFIX):  # [MQTT-4.8.2-1]
        return None
    group, slash, inner = topic_filter[len(SHARE_PREFIX) :].partition("/")
    if group == "" or slash == "" or inner == "" or "+" in group or "#" in group:
        return None  # [MQTT-4.8.2-2]
    return group, inner


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a valid, unshared topic filter matches a valid topic name."""
    filter_levels = topic_filter.split("/")
    topic_levels = topic.split("/")
    if topic.startswith("$") and filter_levels[0] in ("+", "#"):  # [MQTT-4.7.2-1]
        return False
    for number, level in enumerate(filter_levels):
        if level == "#":
            return True  # The parent level too: "sport/#" matches "sport".
        if number == len(topic_levels):
            return False
        if level not in ("+", topic_levels[number]):
            return False
    return len(filter_levels) == len(topic_levels)
