"""What each worker of ``rookery start --workers`` is configured with: the machine's configuration, and what differs.

Workers read the same file and variables as one node does, and are told the difference on their command lines. So a
configuration that is read again reaches all of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rookery.cli.cluster.generated import HOST
from rookery.cli.cluster.plan import FIRST_AND_STEP, NodePlan, PlanFault, Ports, shared

if TYPE_CHECKING:
    from rookery.config import Config, Loaded

PORTS: Final = {
    "grpc": ("broker", "grpc_port"),
    "metrics": ("broker", "metrics_port"),
    "nats": ("cluster", "nats", "port"),
}
"""The settings that must name a port."""


def set_to(key: str, value: object) -> str:
    """What ``--set`` takes: YAML, of which JSON is a part."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def alone(secret: Path) -> list[str]:
    """What makes a cluster of this machine where the configuration has none."""
    return [
        set_to("cluster.enabled", True),
        set_to("cluster.secret", f"${{file:{secret}}}"),
        set_to("cluster.host", HOST),
        set_to("cluster.nats.replicas", 1),
        set_to("broker.peer_nodes", []),
    ]


def check_shareable(config: Config) -> None:
    """Whether several nodes can share this configuration's listeners; raises ``PlanFault`` with all that forbids it."""
    faults = []
    for index, listener in enumerate(config.active_listeners):
        where = f"listeners.{index} ({listener.name})" if config.listeners else "broker.mqtt_port"
        if listener.type == "unix":
            faults.append(
                f"{where} is a unix socket, which only one process can listen on: leave it out, or start without "
                "--workers"
            )
        elif listener.port == 0:
            faults.append(
                f"{where} has port 0, which is another port for each worker: name the port that they share"
            )
    faults += [
        f"{'.'.join(key)} is 0: name a port" for key in PORTS.values() if _at(config, key) == 0
    ]
    if not config.metrics.enabled:
        faults.append(
            "metrics.enabled is false, but workers are asked there whether they are ready"
        )
    if faults:
        raise PlanFault("\n".join(faults))


def planned_workers(count: int, config: Config) -> list[NodePlan]:
    """The workers; raises ``PlanFault`` where one would have a port that is in use otherwise."""
    broker, nats = config.broker, config.cluster.nats
    listeners = config.active_listeners
    first = Ports(
        mqtt=next((item.port or 0 for item in listeners if item.type != "unix"), 0),
        grpc=broker.grpc_port,
        metrics=broker.metrics_port,
        dashboard=broker.dashboard_port,
        nats=nats.port,
        nats_route=nats.route_port,
    )
    taken = {item.port: f"that of listener {item.name}" for item in listeners if item.port}
    try:
        return shared(count, broker.node_id, first, taken)
    except PlanFault as fault:
        steps = ", ".join(f"broker.{service}_port every {step}" for service, step in _steps())
        raise PlanFault(
            f"{fault}: the workers' ports follow the configured ones ({steps}); choose others"
        ) from None


def of_worker(
    plan: NodePlan, index: int, loaded: Loaded, directory: Path, access: Path
) -> list[str]:
    """What a worker is told; ``directory`` is the configured store's, ``access`` that of users and rules."""
    config = loaded.config
    made = [
        set_to("broker.node_id", plan.node_id),
        set_to("broker.grpc_port", plan.ports.grpc),
        set_to("broker.metrics_port", plan.ports.metrics),
        set_to("broker.dashboard_port", plan.ports.dashboard),
        set_to("store.directory", str(directory / plan.node_id)),
        set_to("store.access_directory", str(access)),
    ]
    if config.listeners:
        made += [
            set_to(f"listeners.{number}.reuse_port", True)
            for number in range(len(config.listeners))
        ]
    else:
        made.append(set_to("listeners", [{"type": "tcp", "name": "tcp", "reuse_port": True}]))
    advertise = config.cluster.advertise
    if advertise is not None:
        host, _, port = advertise.rpartition(":")
        step = FIRST_AND_STEP["grpc"][1]
        made.append(set_to("cluster.advertise", f"{host}:{int(port) + index * step}"))
    if not config.cluster.nats.urls:
        made += [
            set_to("cluster.nats.urls", [f"nats://{HOST}:{plan.ports.nats}"]),
            set_to("cluster.nats.login", "secret"),
            *(set_to(f"cluster.nats.{key}", None) for key in ("binary", "directory")),
            set_to("cluster.nats.routes", []),
        ]
    return made


def bound(config: Config, plans: list[NodePlan]) -> list[tuple[str, str, int]]:
    """What will be listened on, each by name, host and port."""
    found = [
        (str(listener.name), str(listener.host), listener.port or 0)
        for listener in config.active_listeners
    ]
    for plan in plans:
        found.append((f"metrics of {plan.node_id}", config.metrics.host, plan.ports.metrics))
        found.append((f"grpc of {plan.node_id}", config.cluster.host, plan.ports.grpc))
    nats = config.cluster.nats
    if not nats.urls:
        found.append(("nats", HOST, nats.port))
        if config.nats_routes or config.cluster.discovery != "static":
            found.append(("nats_route", config.cluster.host, nats.route_port))
    return found


def _at(config: Config, key: tuple[str, ...]) -> object:
    value: object = config
    for part in key:
        value = getattr(value, part)
    return value


def _steps() -> list[tuple[str, int]]:
    return [(service, FIRST_AND_STEP[service][1]) for service in ("grpc", "metrics", "dashboard")]
