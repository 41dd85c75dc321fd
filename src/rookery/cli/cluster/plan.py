"""Which ports the nodes of ``rookery cluster up`` and ``rookery start --workers`` have."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final

FIRST_AND_STEP: Final = {
    "mqtt": (1883, 1),
    "grpc": (8081, 2),
    "metrics": (8082, 2),
    "dashboard": (18083, 1),
    "nats": (4222, 1),
    "nats_route": (6222, 1),
}
"""Of each service the port of the first node, and how far apart those of the others are. gRPC and metrics take
turns: 8081 and 8082, 8083 and 8084."""
OWN: Final = ("grpc", "metrics", "dashboard")
"""What each of several nodes on one port has for itself."""
PORT_MAX: Final = 65_535


class PlanFault(ValueError):
    """There is no such set of ports; the text says why."""


@dataclass(frozen=True)
class Ports:
    """The ports of one node."""

    mqtt: int
    grpc: int
    metrics: int
    dashboard: int
    nats: int
    nats_route: int

    def each(self) -> Iterator[tuple[str, int]]:
        """The services with their ports."""
        yield from asdict(self).items()

    def firsts(self) -> dict[str, int]:
        """The same as a mapping, for planning further nodes."""
        return asdict(self)


@dataclass(frozen=True)
class NodePlan:
    """One node to be: its name and its ports."""

    node_id: str
    ports: Ports


def planned(count: int, firsts: Mapping[str, int]) -> list[NodePlan]:
    """The nodes, with the usual distances from the first node's ports; those not given are the usual ones."""
    plans = []
    for index in range(count):
        ports = {
            service: firsts.get(service, usual) + index * step
            for service, (usual, step) in FIRST_AND_STEP.items()
        }
        plans.append(NodePlan(f"node{index + 1}", Ports(**ports)))
    _check(plans)
    return plans


def packed(count: int, start: int) -> list[NodePlan]:
    """The nodes, with all their ports in one row from ``start`` on, node by node."""
    width = len(fields(Ports))
    plans = [
        NodePlan(f"node{index + 1}", Ports(*range(first, first + width)))
        for index, first in enumerate(range(start, start + count * width, width))
    ]
    _check(plans)
    return plans


def shared(count: int, name: str, first: Ports, taken: Mapping[int, str]) -> list[NodePlan]:
    """The nodes ``name-1`` and so on, on one port for clients and one NATS server; ``taken`` are further ports."""
    plans = []
    for index in range(count):
        ports = {
            service: port + index * (FIRST_AND_STEP[service][1] if service in OWN else 0)
            for service, port in first.each()
        }
        plans.append(NodePlan(f"{name}-{index + 1}", Ports(**ports)))
    _check(plans, OWN, {first.nats: "nats", first.nats_route: "nats_route", **taken})
    return plans


def _check(
    plans: list[NodePlan],
    services: Collection[str] = tuple(FIRST_AND_STEP),
    more: Mapping[int, str] = {},
) -> None:
    taken = dict(more)
    for plan in plans:
        for service, port in plan.ports.each():
            if service not in services:
                continue
            name = f"{service} of {plan.node_id}"
            if not 1 <= port <= PORT_MAX:
                raise PlanFault(f"{name} would have port {port}: ports go from 1 to {PORT_MAX}")
            if port in taken:
                raise PlanFault(f"{name} would have port {port}, which is {taken[port]} already")
            taken[port] = name
