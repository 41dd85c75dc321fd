"""Certificates of a running node: taken up without touching a link, watched, told of."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from rookery.app import Node
from rookery.app.listeners import tls_options_of
from rookery.app.tls import NodeTls, same_but_tls
from rookery.config.listeners import Listener
from rookery.mqtt.packets import Subscribe, SubscriptionRequest
from tests.support.certificates import Authority, Pair
from tests.support.engine import FakeClock, connect, publish
from tests.support.node import PATIENCE_SECONDS, TCP, Client, config, dial, run

MESSAGES = 200


def tls_listener(pair: Pair, **more: Any) -> dict[str, Any]:
    tls = {"certificate": str(pair.certificate), "private_key": str(pair.private_key)} | more
    return TCP | {"type": "tls", "tls": tls}


async def dial_tls(node: Node, ca: Path) -> Client:
    return await dial(node, ssl=ssl.create_default_context(cafile=ca), server_hostname="localhost")


async def reloaded(node: Node, count: int) -> None:
    (tls,) = node._tls.reloader.listeners
    async with asyncio.timeout(PATIENCE_SECONDS):
        while tls.reloads < count:
            assert tls.fault is None, tls.fault
            await asyncio.sleep(0.001)


def test_traffic_goes_on_while_certificates_change(tmp_path: Path) -> None:
    old = Authority(tmp_path, "old")
    listener = tls_listener(old.server())

    async def work(node: Node) -> None:
        publisher, subscriber = [await dial_tls(node, old.certificate) for _ in range(2)]
        await publisher.ask(connect("publisher"))
        await subscriber.ask(connect("subscriber"))
        await subscriber.ask(Subscribe(1, [SubscriptionRequest("t", 1)]))
        new = Authority(tmp_path, "new")
        new.server()
        asked = MESSAGES // 4
        for number in range(MESSAGES):
            if number == asked:
                assert await node.reload(node.config, {}) == []
            if number == 3 * asked:
                await reloaded(node, 1)  # The last ones certainly cross with the new context.
            payload = b"%d" % number
            await publisher.ask(publish("t", payload, 1, packet_id=1 + number))
            await subscriber.ask(answers=1)
        with pytest.raises(ssl.SSLCertVerificationError):
            await dial_tls(node, old.certificate)
        third = await dial_tls(node, new.certificate)
        assert await third.ask(connect("third")) == ["CONNACK"]
        for client in (publisher, subscriber, third):
            await client.close()

    run(work, listeners=[listener])


def test_files_that_change_are_found_by_themselves(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("rookery.net.certificates.reload.LOOK_SECONDS", 0.001)
    old = Authority(tmp_path, "old")
    listener = tls_listener(old.server())

    async def work(node: Node) -> None:
        new = Authority(tmp_path, "new")
        new.server()
        await reloaded(node, 1)
        client = await dial_tls(node, new.certificate)
        assert await client.ask(connect("a")) == ["CONNACK"]
        await client.close()

    run(work, listeners=[listener])


def test_other_files_are_taken_from_a_new_configuration(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    listener = tls_listener(old.server("old-server"))

    async def work(node: Node) -> None:
        changed = config(listeners=[tls_listener(new.server("new-server"), minimum_version="1.3")])
        assert await node.reload(changed, {}) == []
        await reloaded(node, 1)
        client = await dial_tls(node, new.certificate)
        assert await client.ask(connect("a")) == ["CONNACK"]
        await client.close()
        assert await node.reload(config(listeners=[listener, TCP | {"name": "b"}]), {}) == [
            "listeners"
        ]
        assert await node.reload(config(listeners=[TCP]), {}) == ["listeners"]

    run(work, listeners=[listener])


def test_what_is_wrong_with_certificates_is_told_and_the_node_stays_ready(tmp_path: Path) -> None:
    pair = Authority(tmp_path).server(days=10)

    async def work(node: Node) -> None:
        (check,) = [each for each in node.health.ready().checks if each.name == "certificates"]
        assert check.ok
        assert check.detail.startswith(f"certificate server in {pair.certificate}")
        pair.private_key.write_text("half")
        await node.reload(node.config, {})
        (tls,) = node._tls.reloader.listeners
        async with asyncio.timeout(PATIENCE_SECONDS):
            while tls.fault is None:
                await asyncio.sleep(0.001)
        (check,) = [each for each in node.health.ready().checks if each.name == "certificates"]
        assert check.ok
        assert "goes on with its former certificates: private key file" in check.detail

    run(work, listeners=[tls_listener(pair)])


def test_a_node_without_tls_speaks_of_no_certificates() -> None:
    async def work(node: Node) -> None:
        assert "certificates" not in [each.name for each in node.health.ready().checks]

    run(work)


class TestFigures:
    def test_each_certificate_has_its_end(self, tmp_path: Path) -> None:
        pair = Authority(tmp_path).server()
        twice, lists = tmp_path / "twice.pem", tmp_path / "lists.pem"
        other = Authority(tmp_path, "ca2")
        twice.write_bytes(2 * other.certificate.read_bytes())
        lists.write_bytes(b"".join(other.revoke(days=days).read_bytes() for days in (3, 2, 4)))
        tls = NodeTls(FakeClock())
        given = tls_listener(pair, client_certificate="optional", ca=str(twice), crl=str(lists))
        made = tls.open(Listener.model_validate(given))
        assert made is not None
        registry = CollectorRegistry()

        class FakePoller:
            from rookery.net.handshakes import Handshakes

            handshakes = Handshakes(FakeClock())

        registry.register(tls.collector(FakePoller()))  # type: ignore[arg-type]
        text = generate_latest(registry).decode()
        ends = [line for line in text.splitlines() if line.startswith("emqx_cert_expiry")]
        by_use = {line.partition('use="')[2].partition('"')[0]: line for line in ends}
        assert (len(ends), set(by_use)) == (3, {"certificate", "ca", "crl"})
        assert f'file="{pair.certificate}"' in by_use["certificate"]
        assert float(by_use["certificate"].rpartition(" ")[2]) == made.facts[0].not_after
        next_lists = [fact.not_after for fact in made.facts if fact.use == "crl"]
        assert float(by_use["crl"].rpartition(" ")[2]) == min(next_lists)
        assert 'emqx_tls_handshakes_total{listener="tcp",result="done"} 0.0' in text

    def test_a_listener_without_tls_has_none(self) -> None:
        tls = NodeTls(FakeClock())
        assert tls.open(Listener.model_validate(TCP)) is None
        assert tls_options_of(Listener.model_validate(TCP)) is None


def test_listeners_that_differ_in_their_files_alone(tmp_path: Path) -> None:
    def made(**changed: Any) -> Listener:
        given = {"certificate": "c", "private_key": "k"}
        return Listener.model_validate(TCP | {"type": "tls", "tls": given} | changed)

    other = {"certificate": "d", "private_key": "k", "minimum_version": "1.3"}
    assert same_but_tls(made(), made(tls=other))
    assert not same_but_tls(made(), made(port=1))
    assert not same_but_tls(made(), Listener.model_validate(TCP))
