"""The streams a node needs, made at its start: its log, its snapshots, and the registers all nodes share.

Whatever has to be made is made now, for while the cluster has lost a server nothing can be made for some seconds.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import structlog

from rookery.cluster import names
from rookery.cluster.jetstream import JetStream, NoAnswer, Refusal

log: Final = structlog.get_logger("rookery.cluster")

STREAM_NOT_FOUND: Final = 10059
ALWAYS_SO: Final = ("storage", "retention", "max_msgs", "max_bytes", "max_age")
"""What decides whether a stream keeps what it was given."""
TRY_SECONDS: Final = 0.25
TELL_SECONDS: Final = 5.0
"""How often the log says what is still waited for."""
MAKE_SECONDS_MAX: Final = 5.0
"""A stream is made by the servers together."""


async def ensure_streams(
    jetstream: JetStream, node_id: str, replicas: int, home: str | None
) -> None:
    """Make what is missing, each with so many replicas; waits as long as that takes.

    ``home`` is the name of the server on which one replica of what is the node's own has to lie. It is ``None``
    where JetStream chooses the servers, since those of somebody else are not told from each other.
    """
    await _until_done(jetstream, wanted_streams(node_id, replicas), home)


def wanted_streams(node_id: str, replicas: int) -> list[dict[str, Any]]:
    """The configurations of the streams."""
    common: dict[str, Any] = {
        "num_replicas": replicas,
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "allow_direct": True,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
    }
    # Of a log every record counts, of the others the last one of each subject.
    last = {**common, "max_msgs_per_subject": 1}
    made = [
        {
            **common,
            "name": names.log_stream(node_id),
            "subjects": [names.log_subject(node_id)],
        },
        {
            **last,
            "name": names.snapshot_stream(node_id),
            "subjects": [names.snapshot_subject(node_id, ">")],
        },
    ]
    for index in range(names.REGISTERS):
        subjects = [names.register_subject(index, "*")]
        made.append({**last, "name": names.register_stream(index), "subjects": subjects})
    return made


def is_register(stream: str) -> bool:
    """Whether a stream is shared by all nodes."""
    return stream in {names.register_stream(index) for index in range(names.REGISTERS)}


async def stream_info(jetstream: JetStream, stream: str) -> dict[str, Any]:
    """What the leader says of a stream. Raises ``NoAnswer`` and ``Refusal``."""
    return await jetstream.api(f"STREAM.INFO.{stream}")


async def _until_done(jetstream: JetStream, wanted: list[dict[str, Any]], home: str | None) -> None:
    """Look at all of them in turn, so that they come into being at the same time."""
    loop = asyncio.get_running_loop()
    began = told = loop.time()
    reasons = {str(each["name"]): "it was not looked at" for each in wanted}
    new: set[str] = set()
    while True:
        for each in wanted:
            name = str(each["name"])
            if not reasons[name]:
                continue
            try:
                changed, reasons[name] = await _ensure(jetstream, each, home, name in new)
            except (NoAnswer, Refusal) as error:
                reasons[name] = str(error)
            else:
                new |= {name} if changed else set()
        missing = {name: reason for name, reason in reasons.items() if reason}
        if not missing:
            return
        if loop.time() - told >= TELL_SECONDS:
            told = loop.time()
            log.warning("waiting_for_jetstream", streams=missing, seconds=round(told - began))
        await asyncio.sleep(TRY_SECONDS)


async def _ensure(
    jetstream: JetStream, wanted: dict[str, Any], home: str | None, new: bool
) -> tuple[bool, str]:
    """Make the stream, or give it the replicas it lacks: it never loses one here.

    Returns whether something was changed, and why the stream cannot be relied on yet; empty where it can. What
    must lie at home is made there alone, and then given the others: for all of them at once there is no asking that
    one be a certain server.
    """
    name = str(wanted["name"])
    made = False
    try:
        info = await stream_info(jetstream, name)
    except Refusal as refusal:
        if refusal.code != STREAM_NOT_FOUND:
            raise
        first = dict(wanted)
        if home is not None and not is_register(name):
            first |= {"num_replicas": 1, "placement": {"tags": [names.server_tag(home)]}}
        info = await jetstream.api(f"STREAM.CREATE.{name}", first, MAKE_SECONDS_MAX)
        log.info("stream_made", stream=name, replicas=wanted["num_replicas"])
        made = True
    now = info["config"]
    if now["num_replicas"] < wanted["num_replicas"]:
        asked = {**now, **wanted, "placement": None}
        await jetstream.api(f"STREAM.UPDATE.{name}", asked, MAKE_SECONDS_MAX)
        return True, "it was given replicas just now"
    if made:
        return True, "it was made just now"
    return False, strange(now, wanted) or unreliable(info, new)


def strange(now: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """Why a stream that is there is none of ours, though it has the name of one; empty where it is."""
    for key in ALWAYS_SO:
        if now.get(key) != wanted[key]:
            return (
                f"somebody else made it: its {key} is {now.get(key)} and has to be {wanted[key]}, or records would "
                "be lost; remove it where it is empty, or change that"
            )
    return ""


def unreliable(info: dict[str, Any], new: bool) -> str:
    """Why a stream cannot be relied on yet; empty where it can.

    Of one that is new all replicas must have joined, else the first records would be on fewer servers than they say.
    Of another a server may be away.
    """
    replicas = int(info["config"]["num_replicas"])
    cluster = info.get("cluster") or {}
    if replicas == 1:
        return ""
    if not cluster.get("leader"):
        return "it has no leader"
    # While replicas are added, one after the other, fewer than they say are a majority.
    origin = (cluster.get("desired") or {}).get("origin") or {}
    if int(origin.get("replicas", replicas)) < replicas:
        return "it is being given replicas"
    joined = sum(bool(replica.get("current")) for replica in cluster.get("replicas", ()))
    if new and joined < replicas - 1:
        return f"{joined} of {replicas - 1} other replicas have joined"
    return ""
