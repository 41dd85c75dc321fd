"""The NATS server and the connection to it, by configuration."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from rookery.app.cluster import nats as module
from rookery.app.cluster.nats import (
    LOCAL_SECRET,
    connection_settings,
    routes_of,
    seed_of,
    server_settings,
)
from rookery.cluster.nats_config import RouteTls
from rookery.config.models import Config

SECRET = "0123456789abcdef"


def config(**cluster: Any) -> Config:
    return Config.model_validate(
        {"broker": {"node_id": "b", "pod_namespace": "space"}, "cluster": cluster}
    )


def test_a_node_logs_in_to_its_own_server():
    found = connection_settings(config(secret=SECRET, nats={"port": 7}))
    assert (found.servers, found.secret, found.name) == (("127.0.0.1:7",), SECRET, "b")
    assert connection_settings(config()).secret == LOCAL_SECRET


def test_servers_that_run_already_are_told_the_secret_only_where_they_know_it():
    urls = ["nats://127.0.0.1:4222"]
    strange = connection_settings(config(secret=SECRET, nats={"urls": urls}))
    assert (strange.servers, strange.secret) == (tuple(urls), "")
    known = connection_settings(config(secret=SECRET, nats={"urls": urls, "login": "secret"}))
    assert known.secret == SECRET


def test_the_server_keeps_its_streams_below_the_store_and_knows_no_route_to_itself():
    made = config(advertise="b:8081", nats={"route_port": 6})
    found = server_settings(made, Path("/store"), Path("/etc"), ("a:6", "b:6"))
    assert (found.node_id, found.directory) == ("b", Path("/store/nats"))
    assert found.routes == ("a:6",)


@pytest.mark.parametrize(("directory", "place"), [("/n", "/n"), ("n", "/etc/n")])
def test_a_relative_path_starts_at_the_configuration_file(directory: str, place: str):
    made = config(nats={"directory": directory})
    assert server_settings(made, Path("/s"), Path("/etc"), ()).directory == Path(place)


def test_servers_show_each_other_the_certificates_of_the_nodes():
    files = {"certificate_file": "c", "key_file": "/k", "ca_file": "a"}
    found = server_settings(config(tls=files, secret=SECRET), Path("/s"), Path("/etc"), ())
    assert found.route_tls == RouteTls(Path("c"), Path("/k"), Path("a"))


def test_where_others_are_looked_up():
    assert seed_of(config(discovery="dns", dns_name="r.example.com")) == "dns:r.example.com"
    assert seed_of(config(discovery="kubernetes", service="r")) == "kubernetes:r.space"


@pytest.mark.parametrize(("discovery", "told"), [("dns", True), ("srv", False)])
def test_what_certificates_have_to_name_is_told(
    discovery: str, told: bool, monkeypatch: pytest.MonkeyPatch
):
    class Found:
        addresses = ("198.51.100.1:6222", "198.51.100.2:6222")

        async def look(self) -> None:
            """They are known."""

    monkeypatch.setattr(module, "Discovery", lambda *_: Found())
    files = {"certificate_file": "c", "key_file": "k", "ca_file": "a"}
    made = config(secret=SECRET, tls=files, discovery=discovery, dns_name="_nats._tcp.example.com")
    with capture_logs() as lines:
        assert asyncio.run(routes_of(made)) == Found.addresses
    expected = [("certificates_must_name", Found.addresses)] if told else []
    assert [(line["event"], line["addresses"]) for line in lines] == expected
