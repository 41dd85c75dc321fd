"""What workers are configured with: planned from a configuration, told by options, and read as a node reads them."""

from pathlib import Path

import pytest

from rookery.cli.cluster.plan import PlanFault
from rookery.cli.cluster.shares import (
    alone,
    bound,
    check_shareable,
    of_worker,
    planned_workers,
)
from rookery.config import Loaded, load, store_directory
from rookery.config.load import access_directory

SECRET = "0123456789abcdef"
CLUSTER = f"""
broker: {{node_id: a, peer_nodes: [b.example.com, c.example.com]}}
cluster:
  enabled: true
  secret: {SECRET}
  host: 0.0.0.0
  advertise: a.example.com:8081
  nats: {{directory: /n, routes: [b.example.com:6222, c.example.com:6222]}}
listeners:
  - {{type: tcp}}
  - {{type: ws, port: 9001}}
"""


def loaded(path: Path, text: str, *overrides: str) -> Loaded:
    file = path / "it's #1.yaml"  # Characters that YAML gives a meaning.
    file.write_text(text)
    return load(file, {}, overrides)


def told(machine: Loaded, index: int, count: int = 2) -> Loaded:
    """A worker's configuration, as its command line makes it."""
    plan = planned_workers(count, machine.config)[index]
    directory = store_directory(machine).absolute()
    own = of_worker(plan, index, machine, directory, directory)
    return load(machine.source, {}, [*machine.overrides, *own])


def alone_in(path: Path, text: str = "") -> Loaded:
    secret = path / "secret"
    secret.write_text(SECRET)
    return loaded(path, text, *alone(secret))


def test_workers_of_a_machine_on_its_own(tmp_path: Path):
    machine = alone_in(tmp_path)
    one, two = (told(machine, index) for index in (0, 1))
    assert [each.config.broker.node_id for each in (one, two)] == [
        "rookery-1883-1",
        "rookery-1883-2",
    ]
    assert [each.config.broker.grpc_port for each in (one, two)] == [8081, 8083]
    assert [each.config.broker.metrics_port for each in (one, two)] == [8082, 8084]
    for each in (one, two):
        (listener,) = each.config.active_listeners
        assert (listener.name, listener.port, listener.reuse_port) == ("tcp", 1883, True)
        nats = each.config.cluster.nats
        assert (nats.urls, nats.login, nats.replicas) == (("nats://127.0.0.1:4222",), "secret", 1)
        secret = each.config.cluster.secret
        assert secret is not None and secret.get_secret_value() == SECRET
        directory = tmp_path / "rookery-data" / "rookery-1883"
        assert store_directory(each) == directory / each.config.broker.node_id
        assert access_directory(each) == directory


def test_nothing_of_a_cluster_that_is_not_enabled_counts(tmp_path: Path):
    text = "broker: {peer_nodes: [b]}\ncluster: {host: 0.0.0.0, nats: {directory: n}}"
    config = told(alone_in(tmp_path, text), 0).config
    assert (config.cluster.host, config.broker.peer_nodes) == ("127.0.0.1", ())


def test_workers_of_one_machine_among_others(tmp_path: Path):
    config = told(loaded(tmp_path, CLUSTER), 1).config
    assert (config.broker.node_id, config.cluster.advertise) == ("a-2", "a.example.com:8083")
    assert (config.cluster.nats.replicas, config.cluster.host) == (3, "0.0.0.0")
    assert (config.cluster.nats.routes, config.cluster.nats.directory) == ((), None)
    assert [each.reuse_port for each in config.active_listeners] == [True, True]
    assert [each.port for each in config.active_listeners] == [1883, 9001]


def test_servers_that_run_already_are_used_as_they_are(tmp_path: Path):
    urls = [
        "cluster.nats.urls=nats://n:4222",
        "cluster.nats.routes=[]",
        "cluster.nats.directory=null",
    ]
    nats = told(loaded(tmp_path, CLUSTER, *urls), 1).config.cluster.nats
    assert (nats.urls, nats.login) == (("nats://n:4222",), "none")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "listeners: [{type: unix, path: /s, name: local}]",
            r"listeners.0 \(local\) is a unix socket",
        ),
        ("listeners: [{type: tcp, port: 0}]", r"listeners.0 \(tcp-0\) has port 0"),
        ("broker: {mqtt_port: 0}", "broker.mqtt_port has port 0"),
        ("broker: {grpc_port: 0}", "broker.grpc_port is 0: name a port"),
        ("broker: {metrics_port: 0}", "broker.metrics_port is 0: name a port"),
        ("cluster: {nats: {port: 0}}", "cluster.nats.port is 0: name a port"),
        ("metrics: {enabled: false}", "metrics.enabled is false"),
    ],
)
def test_what_cannot_be_shared(tmp_path: Path, text: str, fault: str):
    with pytest.raises(PlanFault, match=fault):
        check_shareable(loaded(tmp_path, text).config)


def test_all_of_it_is_told_at_once(tmp_path: Path):
    text = "metrics: {enabled: false}\nbroker: {mqtt_port: 0}"
    with pytest.raises(PlanFault, match=r"(?s)mqtt_port.*metrics.enabled"):
        check_shareable(loaded(tmp_path, text).config)


def test_a_listener_where_a_worker_would_be(tmp_path: Path):
    machine = alone_in(tmp_path, "listeners: [{type: ws, port: 8083}]")
    fault = (
        r"grpc of rookery-1883-2 would have port 8083, which is that of listener ws-0 already: .*"
        r"broker.grpc_port every 2, .*choose others"
    )
    with pytest.raises(PlanFault, match=fault):
        planned_workers(2, machine.config)
    assert len(planned_workers(1, machine.config)) == 1


def test_what_is_listened_on(tmp_path: Path):
    machine = alone_in(tmp_path)
    assert bound(machine.config, planned_workers(1, machine.config)) == [
        ("tcp", "0.0.0.0", 1883),
        ("metrics of rookery-1883-1", "0.0.0.0", 8082),
        ("grpc of rookery-1883-1", "127.0.0.1", 8081),
        ("nats", "127.0.0.1", 4222),
    ]
    among = loaded(tmp_path, CLUSTER)
    assert bound(among.config, [])[2:] == [
        ("nats", "127.0.0.1", 4222),
        ("nats_route", "0.0.0.0", 6222),
    ]
