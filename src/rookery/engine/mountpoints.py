"""A mountpoint stands before all topics of a client, and the client does not see it.

Below the engine's edge everything is mounted: messages, filters, wills, what is stored. A client's own words are
what rules are asked about.
"""

from typing import Final

from rookery.mqtt.topics import SHARE_PREFIX, split_share

SEPARATOR: Final = "\x1f"
"""Before and after the mountpoint in the name of a session. A mountpoint does not have it."""


def session_key(mountpoint: str, client_id: str) -> str:
    """The name of a session: clients of different mountpoints share none."""
    if mountpoint or client_id.startswith(SEPARATOR):
        return SEPARATOR + mountpoint + SEPARATOR + client_id
    return client_id


def mountpoint_of(key: str) -> str:
    """The mountpoint in the name of a session."""
    return key[1:].partition(SEPARATOR)[0] if key.startswith(SEPARATOR) else ""


def label_of(key: str) -> str:
    """The name of a session for people."""
    if not key.startswith(SEPARATOR):
        return key
    mountpoint, _, client_id = key[1:].partition(SEPARATOR)
    return mountpoint + client_id


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
