"""What answers of JetStream mean, and how a connection is asked for; the rest needs servers (tests/integration/cluster)."""

import asyncio
from unittest.mock import Mock

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from rookery.cluster.jetstream import (
    JetStream,
    JetStreamSettings,
    NoAnswer,
    Refusal,
    address,
    answered,
    url,
)


def msg(data: bytes) -> Msg:
    return Msg(Mock(spec=Client), data=data)


def test_an_error_is_no_acknowledgement_though_it_has_a_sequence():
    told = b'{"stream":"S","seq":0,"error":{"code":400,"err_code":10071,"description":"wrong"}}'
    with pytest.raises(Refusal, match=r"wrong \(10071\)") as caught:
        answered(msg(told))
    assert caught.value.code == 10071


def test_an_acknowledgement():
    assert answered(msg(b'{"stream":"S","seq":7}'))["seq"] == 7


def test_nonsense_is_no_answer():
    with pytest.raises(NoAnswer, match="not the answer of JetStream"):
        answered(msg(b"+OK"))


def test_without_a_connection_nothing_is_asked():
    async def main() -> None:
        jetstream = JetStream(JetStreamSettings(("127.0.0.1:1",)))
        assert not jetstream.connected
        assert not jetstream.at_home
        with pytest.raises(NoAnswer, match="no connection"):
            await jetstream.put("a", b"")
        with pytest.raises(NoAnswer, match="no connection"):
            await jetstream.get("A", {"batch": 1})

    asyncio.run(main())


@pytest.mark.parametrize(
    ("server", "as_url", "as_address"),
    [
        ("a:4222", "nats://a:4222", "a:4222"),
        ("tls://u:p@a:4222/", "tls://u:p@a:4222/", "a:4222"),
        ("[::1]:4222", "nats://[::1]:4222", "[::1]:4222"),
    ],
)
def test_addresses(server: str, as_url: str, as_address: str):
    assert url(server) == as_url
    assert address(server) == as_address
