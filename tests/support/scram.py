"""The client's side of SCRAM, by another maker, against a source without a network between."""

import asyncio
from typing import Any

from scramp import ScramClient

from rookery.auth.scram import ScramExchange, ScramSource
from rookery.ports import Accepted, Challenge
from tests.support.sources import attempt


def step(exchange: ScramExchange, data: str | bytes | None) -> Any:
    raw = data.encode() if isinstance(data, str) else data
    return asyncio.run(exchange.step(raw))


def begin(source: ScramSource, mechanism: str = "SCRAM-SHA-256") -> ScramExchange:
    exchange = source.begin(mechanism, attempt())
    assert isinstance(exchange, ScramExchange)
    return exchange


def by_client(
    source: ScramSource, name: str, password: str, mechanism: str = "SCRAM-SHA-256"
) -> tuple[str, Any]:
    """The challenge and the verdict that a client of another maker gets; it checks our own proof."""
    client = ScramClient([mechanism], name, password)
    exchange = begin(source, mechanism)
    challenge = step(exchange, client.get_client_first())
    assert isinstance(challenge, Challenge), challenge
    client.set_server_first(challenge.data.decode())
    verdict = step(exchange, client.get_client_final())
    if isinstance(verdict, Accepted):
        assert verdict.data is not None
        client.set_server_final(verdict.data.decode())
    return challenge.data.decode(), verdict
