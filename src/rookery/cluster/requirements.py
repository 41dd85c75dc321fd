"""What NATS servers must be like that somebody else has configured, as far as they tell. Pure.

They tell nothing of ``sync_interval``, nor of what the other servers of their cluster are like.
"""

from collections.abc import Mapping

from rookery.cluster.nats_config import PAYLOAD_BYTES_MAX
from rookery.cluster.nats_server import VERSION_MIN, version_of


def server_faults(told: Mapping[str, object], where: str, replicas: int) -> list[str]:
    """Why a server cannot keep a node's log; ``told`` is what it said of itself when it let us in."""
    found = []
    version = version_of(str(told.get("version", "")))
    if version < VERSION_MIN:
        wanted = ".".join(map(str, VERSION_MIN))
        found.append(
            f"the NATS server at {where} is of version {told.get('version', 'unknown')}, and {wanted} or later is needed"
        )
    if not told.get("jetstream"):
        found.append(
            f"the NATS server at {where} has no JetStream: give it a jetstream block with a store_dir, and "
            "sync_interval: always"
        )
    payload = told.get("max_payload")
    if not isinstance(payload, int) or payload < PAYLOAD_BYTES_MAX:
        found.append(
            f"the NATS server at {where} takes messages of {payload} bytes, and records of a log have up to "
            f"{PAYLOAD_BYTES_MAX}: set max_payload: {PAYLOAD_BYTES_MAX >> 20}MB on all servers"
        )
    if replicas > 1 and not told.get("cluster"):
        found.append(
            f"the NATS server at {where} stands alone and can keep no {replicas} copies: make a cluster of three "
            "servers, or set cluster.nats.replicas to 1, with which nothing survives the loss of its disk"
        )
    return found
