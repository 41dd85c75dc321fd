"""What a NATS server is told."""

import re
from pathlib import Path

from rookery.cluster.nats_config import (
    NatsServerSettings,
    RouteTls,
    configuration,
    password,
    quoted,
)

SECRET = "the secret"


def settings(**changed: object) -> NatsServerSettings:
    routes = ("127.0.0.1:6222", "127.0.0.2:6222", "127.0.0.3:6222")
    values = {"node_id": "n 1", "directory": Path("/a b"), "secret": SECRET, "routes": routes}
    return NatsServerSettings(**{**values, **changed})


def test_every_record_is_synced_before_its_acknowledgement():
    assert 'jetstream { store_dir: "/a b/streams", sync_interval: always }' in configuration(
        settings()
    )


def test_names_are_those_the_leaders_are_known_by():
    text = configuration(settings())
    assert 'server_name: "n=201"' in text
    assert 'server_tags: ["node:n=201"]' in text


def test_the_secret_itself_is_not_in_it_and_every_user_has_a_password_of_its_own():
    text = configuration(settings())
    assert SECRET not in text
    passwords = set(re.findall(r'password: "([0-9a-f]{64})"', text))
    assert passwords == {password(SECRET, user) for user in ("rookery", "system", "route")}
    assert len(passwords) == 3
    assert password("another", "rookery") not in passwords


def test_routes_lead_to_the_others_with_the_password_of_routes():
    text = configuration(settings())
    route = password(SECRET, "route")
    assert f'"nats-route://route:{route}@127.0.0.2:6222"' in text
    assert f'"nats-route://route:{route}@127.0.0.3:6222"' in text
    assert "@127.0.0.1:6222" not in text


def test_routes_are_encrypted_where_there_are_certificates():
    assert "tls {" not in configuration(settings())
    tls = RouteTls(Path("/a b/c"), Path("/k"), Path("/ca"))
    block = 'tls { cert_file: "/a b/c", key_file: "/k", ca_file: "/ca", verify: true, timeout: 5 }'
    assert block in configuration(settings(route_tls=tls))


def test_a_server_alone_has_no_cluster():
    assert "cluster {" not in configuration(settings(routes=("127.0.0.1:6222",)))
    assert "cluster {" not in configuration(settings(routes=()))


def test_monitoring_is_off_or_on_loopback():
    assert "http" not in configuration(settings())
    assert 'http: "127.0.0.1:8222"' in configuration(settings(monitoring_port=8222))


def test_ipv6_addresses_stand_in_brackets():
    text = configuration(settings(client_host="::1", route_host="::", routes=("[fd00::2]:6222",)))
    assert 'listen: "[::1]:4222"' in text
    assert 'listen: "[::]:6222"' in text
    assert "@[fd00::2]:6222" in text


def test_quoting():
    assert quoted('a"b\\c') == '"a\\"b\\\\c"'


def test_a_server_that_says_nothing_is_given_up_soon():
    assert 'ping_interval: "500ms", ping_max: 3,' in configuration(settings())
