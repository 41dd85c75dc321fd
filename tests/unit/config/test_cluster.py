"""What a cluster's settings take, what they refuse and what is told to be seldom meant."""

from typing import Any

import pytest
from pydantic import ValidationError

from rookery.config import cluster as module
from rookery.config.cluster import Cluster, advertised
from rookery.config.load import load
from rookery.config.models import Config
from rookery.config.warnings import warnings
from tests.support.config import problems

SECRET = "0123456789abcdef"
GOOD: dict[str, Any] = {"secret": SECRET, "host": "0.0.0.0"}
TLS = {"certificate_file": "a", "key_file": "b", "ca_file": "c"}
LOOPBACK = [{"type": "tcp", "host": "127.0.0.1"}]


def data(cluster: dict[str, Any] | None = None, **broker: Any) -> dict[str, Any]:
    return {
        "broker": broker,
        "listeners": LOOPBACK,
        "cluster": {"enabled": True, **(cluster or {})},
    }


def refused(cluster: dict[str, Any] | None = None, **broker: Any) -> dict[str, str]:
    return {".".join(map(str, path)): text for path, text in problems(data(cluster, **broker))}


def told(cluster: dict[str, Any] | None = None, **broker: Any) -> list[str]:
    return warnings(Config.model_validate(data(cluster, **broker)))


def test_a_node_is_on_its_own_by_default():
    cluster = Config().cluster
    assert (cluster.enabled, cluster.name, cluster.host) == (False, "rookery", "127.0.0.1")
    assert (cluster.nats.port, cluster.nats.route_port, cluster.nats.replicas) == (4222, 6222, 3)


class TestOneMachine:
    ROUTES = "127.0.0.1:6223,127.0.0.1:6224"

    def test_nodes_of_one_machine_need_nothing_but_their_ports(self):
        cluster = {"nats": {"routes": self.ROUTES}}
        config = Config.model_validate(data(cluster, peer_nodes="localhost:8083, 127.0.0.1:8085"))
        assert config.seeds == ("localhost:8083", "127.0.0.1:8085")
        assert config.nats_routes == ("127.0.0.1:6223", "127.0.0.1:6224")
        assert warnings(config) == []

    def test_a_route_to_itself_leads_nowhere(self):
        assert (
            "have other route ports than this node (6222)"
            in (refused({}, peer_nodes="localhost:8083")["cluster.nats.routes"])
        )
        urls = {"nats": {"urls": "nats://localhost:4222"}}
        assert Config.model_validate(data(urls, peer_nodes="localhost:8083"))


class TestSeveralMachines:
    def test_addresses_are_made_from_the_peers(self):
        cluster = {"secret": SECRET, "host": "::"}
        config = Config.model_validate(
            data(cluster, node_id="a", peer_nodes="[fd00::2], other:7", grpc_port=9)
        )
        assert config.seeds == ("[fd00::2]:9", "other:7")
        assert config.nats_routes == ("[fd00::2]:6222", "other:6222")

    def test_what_they_need(self):
        told_now = refused({}, peer_nodes="10.0.0.2,10.0.0.3")
        assert set(told_now) == {"broker.node_id", "cluster.secret", "cluster.host"}
        assert "is the same on every machine" in told_now["broker.node_id"]
        assert "openssl rand" in told_now["cluster.secret"]
        assert told_now["cluster.host"].startswith("is 127.0.0.1, which other machines do not")
        assert "10.0.0.2" in told_now["cluster.host"]

    def test_and_that_is_all(self):
        (warning,) = told(GOOD, node_id="a", peer_nodes="10.0.0.2,10.0.0.3")
        assert warning.startswith("what goes between nodes is not encrypted")

    def test_certificates_do_not_make_the_passwords_of_nats(self):
        cluster = {"tls": TLS, "host": "10.0.0.1"}
        nodes = {"node_id": "a", "peer_nodes": "10.0.0.2,10.0.0.3"}
        (text,) = refused(cluster, **nodes).values()
        assert text.startswith("is missing: it is needed beside cluster.tls")
        assert "openssl rand" in text
        theirs = {**cluster, "nats": {"urls": "nats://x", "login": "secret"}}
        assert set(refused(theirs, **nodes)) == {"cluster.secret"}
        for more in ({"secret": SECRET}, {"nats": {"urls": "nats://x"}}):
            assert told({**cluster, **more}, **nodes) == []

    def test_certificates_on_one_machine_need_no_secret(self):
        assert told({"tls": TLS, "nats": {"routes": "127.0.0.1:1,127.0.0.1:2"}}) == []

    def test_an_address_that_others_cannot_use(self):
        cluster = {**GOOD, "advertise": "localhost:8081"}
        assert set(refused(cluster, node_id="a", peer_nodes="other")) == {"cluster.advertise"}

    @pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1"])
    def test_a_node_that_lets_in_other_machines_has_a_secret(self, host: str):
        assert set(refused({"host": host}, node_id="a")) == {"cluster.secret"}


class TestDiscovery:
    @pytest.mark.parametrize("kind", ["dns", "srv"])
    def test_a_name_to_look_up(self, kind: str):
        assert refused({**GOOD, "discovery": kind}, node_id="a") == {
            "cluster.dns_name": f"is missing: discovery {kind} looks it up"
        }
        cluster = {**GOOD, "discovery": kind, "dns_name": "_rookery._tcp.example.com"}
        assert Config.model_validate(data(cluster, node_id="a"))

    @pytest.mark.parametrize("name", ["example.com", "_nats.example.com", "_nats._tcp", "a._tcp.b"])
    def test_srv_records_have_names_of_their_own(self, name: str):
        cluster = {**GOOD, "discovery": "srv", "dns_name": name}
        (text,) = refused(cluster, node_id="a").values()
        assert text.startswith(f"is {name}, which has no SRV records")
        assert "_nats._tcp.example.com" in text
        if not name.startswith("_nats._tcp"):
            assert Config.model_validate(data({**cluster, "discovery": "dns"}, node_id="a"))

    @pytest.mark.parametrize("name", ["a..b", "a" * 64 + ".b", "_nats._tcp..b", ".b"])
    def test_what_is_no_name(self, name: str):
        cluster = {**GOOD, "dns_name": name, "discovery": "dns"}
        with pytest.raises(ValidationError):
            Config.model_validate(data(cluster, node_id="a"))

    def test_kubernetes_wants_a_service_and_its_namespace(self):
        cluster = {**GOOD, "discovery": "kubernetes"}
        assert set(refused(cluster, node_id="a")) == {"cluster.service"}
        cluster["service"] = "rookery-headless"
        assert set(refused(cluster, node_id="a")) == {"broker.pod_namespace"}
        assert Config.model_validate(data(cluster, node_id="a", pod_namespace="mqtt"))

    def test_names_that_nothing_looks_up(self):
        assert refused({"dns_name": "a.b", "service": "c"}) == {
            "cluster.dns_name": "is not for discovery static; leave it out",
            "cluster.service": "is not for discovery static; leave it out",
        }

    def test_found_nodes_are_on_other_machines(self):
        cluster = {"discovery": "dns", "dns_name": "a.b"}
        assert set(refused(cluster)) == {"broker.node_id", "cluster.secret", "cluster.host"}


class TestNats:
    def test_servers_of_somebody_else_need_nothing_of_ours(self):
        nats = {"urls": "nats://a:4222, tls://b", "binary": "x", "routes": "a:1", "directory": "d"}
        assert set(refused({"nats": nats})) == {
            f"cluster.nats.{key}" for key in ("binary", "routes", "directory")
        }
        assert told({"nats": {"urls": ["nats://a:4222"]}}) == []

    @pytest.mark.parametrize("url", ["a:4222", "http://a", "nats://u:p@a", "nats://"])
    def test_what_is_no_such_url(self, url: str):
        with pytest.raises(ValidationError):
            Config.model_validate(data({"nats": {"urls": [url]}}))

    @pytest.mark.parametrize("address", ["a", "a:0", "a:65536", ":1"])
    def test_what_is_no_route(self, address: str):
        with pytest.raises(ValidationError):
            Config.model_validate(data({"nats": {"routes": [address]}}))

    def test_two_replicas_have_no_majority_that_one_has_not(self):
        with pytest.raises(ValidationError):
            Config.model_validate(data({"nats": {"replicas": 2}}))

    def test_fewer_servers_than_replicas(self):
        one = {"nats": {"routes": "localhost:1"}}
        (warning,) = told(one, peer_nodes="localhost:8083")
        assert warning.startswith(
            "cluster.nats.replicas is 3, and the configuration tells of 2 NATS"
        )
        assert "1 NATS server:" in told()[0]
        assert told({"nats": {"replicas": 1}}) == []
        assert told({"nats": {"routes": "localhost:1,localhost:2"}}) == []


class TestNames:
    @pytest.mark.parametrize("node_id", ["a.b", "a@b", "a:b", "a" * 65])
    def test_a_node_gives_its_name_to_streams(self, node_id: str):
        assert "part of the names of streams" in refused(node_id=node_id)["broker.node_id"]
        assert Config.model_validate({"broker": {"node_id": node_id}})

    def test_other_names_are_right(self):
        assert Config.model_validate(data(node_id="node_1-A"))


def test_the_store_is_always_replicated():
    given = {**data(), "store": {"durability": "os"}}
    ((path, text),) = problems(given)
    assert path == ("store", "durability")
    assert text.startswith("is os, but a node of a cluster acknowledges what a majority")


def test_the_ports_of_a_cluster_clash_with_others_only_in_one():
    routes = {"nats": {"routes": "localhost:1"}}
    ports = {"mqtt_port": 8081, "peer_nodes": "localhost,localhost:1"}
    listeners = [{"type": "tcp", "host": "127.0.0.1", "port": 8081}]
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({**data(routes, **ports), "listeners": listeners})
    assert "is port 8081, which listeners.0.port has already" in str(caught.value)
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(data({"nats": {"port": 6222}}))
    assert "is port 6222, which cluster.nats.port has already" in str(caught.value)
    assert Config.model_validate({"broker": ports, "listeners": listeners})


def test_peers_of_a_node_on_its_own():
    alone = {"broker": {"peer_nodes": "a,b"}, "listeners": LOOPBACK}
    (warning,) = warnings(Config.model_validate(alone))
    assert warning.startswith("broker.peer_nodes is not used")


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert refused() == {
        "cluster.enabled": "needs the extra cluster: pip install 'rookery[cluster]'"
    }


def test_the_address_that_others_are_told():
    assert advertised(Cluster(), 8081, "box") == "127.0.0.1:8081"
    assert advertised(Cluster(host="0.0.0.0"), 8081, "box") == "box:8081"
    assert advertised(Cluster(host="fd00::1"), 8081, "box") == "[fd00::1]:8081"
    assert advertised(Cluster(host="0.0.0.0", advertise="a:1"), 8081, "box") == "a:1"


@pytest.mark.parametrize("secret", ["short", "a" * 15, "a" * 1025, "a" * 16 + " ", "é" * 16])
def test_what_is_no_secret(secret: str):
    with pytest.raises(ValidationError):
        Config.model_validate(data({"secret": secret}))


def test_the_secret_comes_from_a_file_and_is_told_nowhere(tmp_path):
    (tmp_path / "secret").write_text(SECRET + "\n")
    file = tmp_path / "rookery.yaml"
    file.write_text(f"cluster: {{enabled: true, secret: '${{file:{tmp_path}/secret}}'}}\n")
    loaded = load(file)
    assert loaded.config.cluster.secret is not None
    assert loaded.config.cluster.secret.get_secret_value() == SECRET
    assert SECRET not in repr(loaded)
