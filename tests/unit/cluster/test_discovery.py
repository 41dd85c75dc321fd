import asyncio

import pytest
from structlog.testing import capture_logs

from rookery.cluster import discovery as module
from rookery.cluster.addresses import BadAddress
from rookery.cluster.discovery import Addresses, Discovery
from tests.support.links import run
from tests.support.name_server import name_server

ELSEWHERE = "198.51.100.99"
"""Of a range for documentation: no machine has it."""


def test_static_seeds_are_addresses_as_they_stand():
    async def work() -> None:
        told: list[Addresses] = []
        found = Discovery(["n3", "n1:8", "[2001:db8::1]", "n3:7"], 7, "n2", told.append)
        await found.look()
        await found.look()
        assert told == [("n3:7", "n1:8", "[2001:db8::1]:7")]
        assert found.addresses == told[0]

    run(work())


def test_a_seed_that_means_nothing_is_refused():
    with pytest.raises(BadAddress, match="srv:_service"):
        Discovery(["srv:x"], 7, "n1", print)


def test_a_name_stands_for_all_its_addresses_of_both_families():
    async def work() -> None:
        async with name_server() as (server, resolver):
            name = "mqtt.prod.svc.cluster.local"
            server.records = {
                (name, "A"): ["198.51.100.2", "198.51.100.1"],
                (name, "AAAA"): ["2001:db8::1"],
                ("six.example", "AAAA"): ["2001:db8::6"],
            }
            seeds = ["kubernetes:mqtt.prod", "dns:six.example:8"]
            found = Discovery(seeds, 7, ELSEWHERE, lambda _: None, resolver)
            await found.look()
            assert found.addresses == (
                "198.51.100.1:7",
                "198.51.100.2:7",
                "[2001:db8::1]:7",
                "[2001:db8::6]:8",
            )
            assert found.problems() == []

    run(work())


def test_srv_records_say_hosts_and_ports():
    async def work() -> None:
        async with name_server() as (server, resolver):
            service = "_cluster._tcp.mqtt.prod.svc.cluster.local"
            pods = [f"0 33 {port} mqtt-{port}.mqtt.prod.svc.cluster.local." for port in (8, 7)]
            server.records = {(service, "SRV"): pods}
            own = "mqtt-7.mqtt.prod.svc.cluster.local"
            found = Discovery([f"srv:{service}"], 7, own, lambda _: None, resolver)
            await found.look()
            assert found.addresses == ("mqtt-8.mqtt.prod.svc.cluster.local:8",)

    run(work())


def test_srv_records_that_are_none():
    async def work() -> None:
        async with name_server() as (server, resolver):
            server.records = {
                ("_none._tcp.example", "SRV"): ["0 0 0 ."],
                ("_other._tcp.example", "A"): ["198.51.100.1"],
            }
            seeds = ["srv:_none._tcp.example", "srv:_other._tcp.example"]
            found = Discovery(seeds, 7, ELSEWHERE, lambda _: None, resolver)
            await found.look()
            assert found.addresses == ()
            [problem] = found.problems()
            assert problem.startswith("srv:_other._tcp.example was not found: ")

    run(work())


def test_the_own_address_is_recognised_by_the_machine_and_the_port():
    async def work() -> None:
        async with name_server() as (server, resolver):
            server.records = {("all.example", "A"): ["127.0.0.1", "198.51.100.1"]}
            seeds = ["dns:all.example", "dns:all.example:8", "here:7"]
            found = Discovery(seeds, 7, "here", lambda _: None, resolver)
            await found.look()
            # On another port it is another node of this machine.
            assert found.addresses == ("198.51.100.1:7", "127.0.0.1:8", "198.51.100.1:8")

    run(work())


@pytest.mark.parametrize("mood", ["silent", "failing", "gone"])
def test_the_last_good_answer_stays_while_there_is_no_other(
    mood: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ANSWER_SECONDS_MAX", 0.2)

    async def work() -> None:
        async with name_server() as (server, resolver):
            told: list[Addresses] = []
            records = {("all.example", "A"): ["198.51.100.1"]}
            server.records = records
            found = Discovery(["dns:all.example", "n1:7"], 7, "n9", told.append, resolver)
            await found.look()
            if mood == "gone":
                server.records = {}
            else:
                setattr(server, mood, True)
            with capture_logs() as lines:
                await found.look()
                await found.look()
            assert found.addresses == ("198.51.100.1:7", "n1:7")
            assert [line["event"] for line in lines] == ["cluster_seed_not_found"]
            [problem] = found.problems()
            assert problem.startswith("dns:all.example was not found: ")
            server.silent = server.failing = False
            server.records = {("all.example", "A"): ["198.51.100.2"]}
            await found.look()
            assert told == [("198.51.100.1:7", "n1:7"), ("198.51.100.2:7", "n1:7")]
            assert found.problems() == []

    run(work())


def test_it_goes_on_looking(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RESOLVE_SECONDS", 0.01)

    async def work() -> None:
        async with name_server() as (server, resolver):
            told: asyncio.Queue[Addresses] = asyncio.Queue()
            found = Discovery(["dns:all.example"], 7, "n9", told.put_nowait, resolver)
            task = asyncio.create_task(found.keep_looking())
            for host in ("198.51.100.1", "198.51.100.2"):
                server.records = {("all.example", "A"): [host]}
                assert await asyncio.wait_for(told.get(), 5) == (f"{host}:7",)
            task.cancel()

    run(work())
