"""The configuration that ``rookery cluster up`` writes for each node."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rookery.cli.cluster.plan import NodePlan

HOST: Final = "127.0.0.1"
"""Where the nodes meet: they are all on this machine."""
REPLICAS: Final = 3

HEADER: Final = """\
# Written by 'rookery cluster up', which leaves it alone once it is there: change what you like, but not the
# node's name and its ports. 'rookery config check -c' tells what is wrong.
"""


def configuration(plan: NodePlan, nodes: Sequence[NodePlan], secret: Path) -> dict[str, Any]:
    """The settings of one of the nodes."""
    others = [node for node in nodes if node.node_id != plan.node_id]
    ports = plan.ports
    return {
        "broker": {
            "node_id": plan.node_id,
            "mqtt_port": ports.mqtt,
            "grpc_port": ports.grpc,
            "metrics_port": ports.metrics,
            "dashboard_port": ports.dashboard,
            "peer_nodes": [f"{HOST}:{other.ports.grpc}" for other in others],
        },
        "store": {"directory": "data"},
        "metrics": {"host": HOST},
        "cluster": {
            "enabled": True,
            "secret": f"${{file:{secret}}}",
            "host": HOST,
            "nats": {
                "port": ports.nats,
                "route_port": ports.nats_route,
                "routes": [f"{HOST}:{other.ports.nats_route}" for other in others],
                "replicas": REPLICAS if len(nodes) >= REPLICAS else 1,
            },
        },
    }


def configuration_text(plan: NodePlan, nodes: Sequence[NodePlan], secret: Path) -> str:
    """The same as a file."""
    import yaml

    settings = configuration(plan, nodes, secret)
    return HEADER + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
