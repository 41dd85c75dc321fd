"""A mountpoint stands before all topics of a client, and the client does not see it.

Below the engine's edge everything is mounted: messages, filters, wills, what is stored. A client's own words are
what rules are asked about.
"""

from typing import Final

from rookery.mqtt.topics import SHARE_PREFIX, split_share

SEPARATOR: Final = "\0"
"""Between mountpoint and client id in the name of a session: no client id has it. [MQTT-1.5.4-2]"""


def session_key(mountpoint: str, client_id: str) -> str:
    """The name of a session: clients of different mountpoints share none."""
    return mountpoint + SEPARATOR + client_id if mountpoint else client_id


def mountpoint_of(key: str) -> str:
    """The mountpoint in the name of a session."""
    mountpoint, separator, _ = key.partition(SEPARATOR)
    return mountpoint if separator else ""


def label_of(key: str) -> str:
    """The name of a session for people."""
    return key.replace(SEPARATOR, "")


def inner_filter(written: str) -> str:
    """A topic filter without its share group."""
    shared = split_share(written)
    return written if shared is None else shared[1]


def mounted_filter(asked: str, mountpoint: str) -> str:
    """A topic filter with a mountpoint before it, after its share group."""
    if not mountpoint:
        return asked
    shared = split_share(asked)
    if shared is None:
        return mountpoint + asked
    return f"{SHARE_PREFIX}{shared[0]}/{mountpoint}{shared[1]}"
