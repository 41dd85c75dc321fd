"""Answers of a real server, good ones and others."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from rookery.auth.tls_client import client_context
from rookery.auth.web import (
    RESPONSE_BYTES_MAX,
    WebFault,
    ask,
    make_client,
    place_of,
)
from tests.support.certificates import make_certificates
from tests.support.web_server import CUT, GARBAGE, HANG, RESET, Reply, as_json, web_server


def with_client(work: Callable[[httpx.AsyncClient], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        context = client_context(
            settings.get("ca"), settings.get("certificate"), settings.get("private_key")
        )
        async with make_client(context, settings.get("connections_max", 4), 5, 0.3) as client:
            await work(client)

    asyncio.run(main())


def test_an_answer():
    async def work(client: httpx.AsyncClient) -> None:
        found = await ask(client, client.build_request("GET", server.url("/x?y=1")))
        assert found == (201, "application/json", b'{"a": 1}')

    with web_server(lambda asked: as_json({"a": 1}, 201)) as server:
        with_client(work)
    assert [(asked.method, asked.path) for asked in server.asked] == [("GET", "/x?y=1")]


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (HANG, "no answer in time"),
        (RESET, "."),
        (GARBAGE, "."),
        (CUT, "."),
        (Reply(200, b"x" * (RESPONSE_BYTES_MAX + 1)), "longer"),
    ],
)
def test_no_answer(reply, fault):
    async def work(client: httpx.AsyncClient) -> None:
        with pytest.raises(WebFault, match=fault):
            await ask(client, client.build_request("GET", server.url()))

    with web_server(lambda asked: reply) as server:
        with_client(work)


def test_nobody_listens():
    with web_server() as server:
        url = server.url()

    async def work(client: httpx.AsyncClient) -> None:
        with pytest.raises(WebFault, match="onnect"):
            await ask(client, client.build_request("GET", url))

    with_client(work)


def test_all_connections_busy():
    async def work(client: httpx.AsyncClient) -> None:
        requests = [client.build_request("GET", server.url()) for _ in range(2)]
        found = await asyncio.gather(
            *(ask(client, one) for one in requests), return_exceptions=True
        )
        assert sorted(map(str, found)) == ["all connections stayed busy", "no answer in time"]

    with web_server(lambda asked: HANG) as server:
        with_client(work, connections_max=1)


def test_connections_are_used_again():
    async def work(client: httpx.AsyncClient) -> None:
        for _ in range(3):
            await ask(client, client.build_request("GET", server.url()))

    with web_server() as server:
        with_client(work)
    assert len({asked.connection for asked in server.asked}) == 1


class TestTls:
    def test_by_an_authority_of_ones_own_and_with_a_certificate(self, tmp_path: Path):
        made = make_certificates(tmp_path)

        async def work(client: httpx.AsyncClient) -> None:
            assert (await ask(client, client.build_request("GET", server.url())))[0] == 204

        with web_server(tls=made.server, client_ca=made.ca) as server:
            with_client(
                work,
                ca=made.ca,
                certificate=made.client.certificate,
                private_key=made.client.private_key,
            )
        assert server.asked[0].client_certificate

    @pytest.mark.parametrize("which", ["server", "server_expired", "server_wrong_host"])
    def test_a_server_that_is_not_who_it_says(self, tmp_path: Path, which):
        made = make_certificates(tmp_path)
        ca = made.other_ca if which == "server" else made.ca

        async def work(client: httpx.AsyncClient) -> None:
            with pytest.raises(WebFault, match="CERTIFICATE_VERIFY_FAILED"):
                await ask(client, client.build_request("GET", server.url()))

        with web_server(tls=getattr(made, which)) as server:
            with_client(work, ca=ca)
        assert server.asked == []


def test_a_url_for_people():
    assert place_of("https://u:p@host:1/a?token=x#f") == "https://host:1/a"
