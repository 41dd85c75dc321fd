"""Where other nodes may be found, as it is configured: what the text of a seed means.

| seed | means |
|---|---|
| ``host``, ``host:port``, ``[::1]:port`` | that address |
| ``dns:name``, ``dns:name:port`` | every address the name has (A and AAAA) |
| ``srv:_rookery._tcp.example.org`` | every host and port of its SRV records |
| ``kubernetes:service.namespace``, ``...:port`` | every pod of a headless service, by its address |

The pods of a service by their names, which certificates can name, are the SRV records of one of its ports:
``srv:_cluster._tcp.service.namespace.svc.cluster.local``.
"""

from dataclasses import dataclass
from typing import Final, Literal

from rookery.cluster.addresses import BadAddress, split_address

KUBERNETES_DOMAIN: Final = "svc.cluster.local"
KINDS: Final = ("dns", "srv", "kubernetes")


@dataclass(frozen=True, slots=True)
class Seed:
    """One place to look."""

    text: str
    kind: Literal["address", "dns", "srv"]
    name: str
    port: int
    """0 where the records say it."""


def parse_seed(text: str, port: int) -> Seed:
    """What a seed means; ``port`` is for those that name none.

    Raises:
        BadAddress: nothing; the text says what would be right.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS:
        return Seed(text, "address", *split_address(text, port))
    if kind == "srv":
        labels = rest.rstrip(".").split(".")
        if len(labels) < 3 or not labels[0].startswith("_") or labels[1] not in ("_tcp", "_udp"):
            raise BadAddress(f"{text!r} is no SRV name: it has to be srv:_service._tcp.domain")
        return Seed(text, "srv", rest, 0)
    name, port = split_address(rest, port)
    if kind == "dns":
        return Seed(text, "dns", name, port)
    labels = name.rstrip(".").split(".")
    if len(labels) < 2 or not all(labels):
        raise BadAddress(f"{text!r} is no service: it has to be kubernetes:service.namespace")
    if len(labels) == 2:
        name = f"{'.'.join(labels)}.{KUBERNETES_DOMAIN}"
    return Seed(text, "dns", name, port)
