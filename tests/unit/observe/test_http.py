import asyncio
import errno
import signal
import socket
from collections.abc import Awaitable, Callable

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from rookery.observe.health import Health
from rookery.observe.http import STOP_SECONDS_MAX, ListenError, ObserveServer


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("met", "Clients met.", registry=made).inc(3)
    return made


def with_server(
    health: Health, work: Callable[[httpx.AsyncClient], Awaitable[None]], host: str = "127.0.0.1"
) -> None:
    async def run() -> None:
        server = ObserveServer(registry(), health)
        port = await server.start(host, 0)
        name = f"[{host}]" if ":" in host else host
        try:
            async with httpx.AsyncClient(
                base_url=f"http://{name}:{port}", trust_env=False
            ) as client:
                await work(client)
        finally:
            await server.stop()

    asyncio.run(run())


def test_metrics_are_served_in_the_text_format() -> None:
    async def work(client: httpx.AsyncClient) -> None:
        response = await client.get("/metrics")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain; version=")
        families = {family.name: family for family in text_string_to_metric_families(response.text)}
        assert families["met"].samples[0].value == 3

    with_server(Health(), work)


def test_metrics_are_served_as_openmetrics_to_who_accepts_it() -> None:
    async def work(client: httpx.AsyncClient) -> None:
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        response = await client.get("/metrics", headers=accept)
        assert response.headers["content-type"].startswith("application/openmetrics-text")
        assert [family.name for family in parse_openmetrics(response.text)] == ["met"]

    with_server(Health(), work)


def test_health_follows_the_node() -> None:
    health = Health()
    draining = False
    health.add_check("draining", lambda: (not draining, "no" if not draining else "yes"))

    async def work(client: httpx.AsyncClient) -> None:
        async def codes() -> list[int]:
            paths = ("/health/live", "/health/startup", "/health/ready", "/health")
            return [(await client.get(path)).status_code for path in paths]

        nonlocal draining
        assert await codes() == [200, 503, 503, 503]
        health.mark_started()
        assert await codes() == [200, 200, 200, 200]
        draining = True
        assert await codes() == [200, 200, 503, 503]
        response = await client.get("/health/ready")
        assert response.headers["cache-control"] == "no-store"
        assert response.json() == {
            "status": "unavailable",
            "checks": [
                {"name": "startup", "ok": True, "detail": "done"},
                {"name": "draining", "ok": False, "detail": "yes"},
            ],
        }

    with_server(health, work)


def test_head_works_and_other_paths_and_methods_do_not() -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.head("/health/live")).status_code == 200
        assert (await client.post("/metrics")).status_code == 405
        assert (await client.get("/")).status_code == 404
        assert (await client.get("/docs")).status_code == 404

    with_server(Health(), work)


def test_answers_tell_nothing_of_what_serves_them() -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert "server" not in (await client.get("/health/live")).headers

    with_server(Health(), work)


@pytest.mark.skipif(not socket.has_ipv6, reason="the machine has no IPv6")
def test_ipv6_and_names_are_addresses_too() -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.get("/health/live")).status_code == 200

    with_server(Health(), work, "::1")
    with_server(Health(), work, "localhost")


def test_a_port_in_use_is_named() -> None:
    async def run() -> None:
        first, second = (ObserveServer(registry(), Health()) for _ in range(2))
        port = await first.start("127.0.0.1", 0)
        try:
            with pytest.raises(ListenError) as caught:
                await second.start("127.0.0.1", port)
        finally:
            await first.stop()
        assert caught.value.errno == errno.EADDRINUSE
        assert f"cannot listen on 127.0.0.1:{port} for metrics and health: " in str(caught.value)
        assert "in use" in str(caught.value)
        # The one that failed can still be started where there is room.
        assert await second.start("127.0.0.1", 0) > 0
        await second.stop()

    asyncio.run(run())


def test_an_address_that_is_not_ours_is_named() -> None:
    async def run() -> None:
        with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:0"):
            await ObserveServer(registry(), Health()).start("192.0.2.1", 0)

    asyncio.run(run())


def test_answers_do_not_wait_for_acknowledgements() -> None:
    async def run() -> None:
        server = ObserveServer(registry(), Health())
        port = await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        took_seconds = []
        for _ in range(9):
            began = loop.time()
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"}]}")
            took_seconds.append(loop.time() - began)
        writer.close()
        await server.stop()
        # Where they do, most take the 40 ms of a delayed acknowledgement.
        assert sorted(took_seconds)[2] < 0.03

    asyncio.run(run())


def test_a_stopped_server_lets_go_of_the_port_and_may_start_again() -> None:
    async def run() -> None:
        server = ObserveServer(registry(), Health())
        port = await server.start("127.0.0.1", 0)
        await server.stop()
        await server.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await server.start("127.0.0.1", port) == port
        await server.stop()

    asyncio.run(run())


def test_stopping_does_not_wait_for_idle_connections() -> None:
    async def run() -> None:
        server = ObserveServer(registry(), Health())
        port = await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        async with asyncio.timeout(5):
            await server.stop()
            await reader.read()
        writer.close()
        await writer.wait_closed()

    asyncio.run(run())


def test_stopping_does_not_wait_long_for_one_that_does_not_read() -> None:
    async def run() -> None:
        more_than_buffers_take = registry()
        Counter("big", "x" * 32_000_000, registry=more_than_buffers_take)
        server = ObserveServer(more_than_buffers_take, Health())
        port = await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readexactly(15) == b"HTTP/1.1 200 OK"
        async with asyncio.timeout(STOP_SECONDS_MAX + 5):
            await server.stop()
        writer.transport.abort()

    asyncio.run(run())


def test_the_signals_of_the_process_are_left_alone() -> None:
    async def run() -> None:
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        server = ObserveServer(registry(), Health())
        await server.start("127.0.0.1", 0)
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        await server.stop()

    asyncio.run(run())
