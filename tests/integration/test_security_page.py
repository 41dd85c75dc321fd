"""docs/security.md: its configuration loads and does what the page says, its commands and figures exist."""

import asyncio
import ssl
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from rookery.client import Client
from rookery.client.errors import ConnectionRefused, PublishRefused
from rookery.config import load, warnings
from rookery.mqtt.packets import SubscriptionRequest
from rookery.mqtt.types import ReasonCode
from tests.support.certificates import Authority
from tests.support.command import rookery
from tests.support.node_process import NodeProcess
from tests.support.pages import FIGURE, blocks, commands, page, read_command, unknown_figures

PAGE = page("security.md")


class Place:
    """The page's configuration with its files in a directory."""

    def __init__(self, directory: Path) -> None:
        etc, lib = directory / "etc", directory / "lib"
        tls, secrets = etc / "tls", etc / "secrets"
        for each in (tls, secrets):
            each.mkdir(parents=True)
        authority = Authority(tls)
        self.ca = authority.certificate
        pair = authority.server(password="of the key")
        pair.certificate.rename(tls / "fullchain.pem")
        pair.private_key.rename(tls / "key.pem")
        (secrets / "key_password").write_text("of the key\n")
        (text,) = blocks(PAGE, "yaml")
        text = text.replace("/etc/rookery", str(etc)).replace("/var/lib/rookery", str(lib))
        self.file = etc / "rookery.yaml"
        self.file.write_text(text)

    def run(self, *arguments: str, given: str = "") -> str:
        done = rookery(*arguments, "-c", str(self.file), stdin=given.encode())
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def node(place: Place) -> Iterator[NodeProcess]:
    place.run("user", "add", "pump-1", "--client-id", "pump-1", "--password-stdin", given="right")
    here = ("listeners.0.host=127.0.0.1", "listeners.0.port=0", "broker.metrics_port=0")
    more = [part for each in here for part in ("--set", each)]
    with NodeProcess("-c", str(place.file), *more) as running:
        yield running


def test_the_configuration_loads_and_warns_of_nothing_once_there_is_a_user(place: Place):
    loaded = load(place.file)
    assert warnings(loaded.config, stored_users=1, references=loaded.references) == []
    (only,) = warnings(loaded.config, stored_users=0, references=loaded.references)
    assert only.startswith("nobody can connect to internet")
    (listener,) = loaded.config.active_listeners
    assert (listener.type, loaded.config.anonymous_of(listener)) == ("tls", "deny")
    assert loaded.config.metrics.host == "127.0.0.1"


async def refused_with(doing: Awaitable[object]) -> ReasonCode:
    with pytest.raises((ConnectionRefused, PublishRefused)) as refusal:
        await doing
    return ReasonCode(refusal.value.reason_code)


def test_the_node_is_as_closed_as_the_page_says(place: Place, node: NodeProcess):
    asyncio.run(closed(node.addresses("tls")[0], ssl.create_default_context(cafile=place.ca)))


async def closed(address: tuple[str, int], trusting: ssl.SSLContext) -> None:
    def client(client_id: str, name: str | None, password: bytes | None) -> Client:
        return Client(*address, client_id=client_id, username=name, password=password, tls=trusting)

    async def come_in(as_whom: Client) -> None:
        async with as_whom:
            pass

    for client_id, name, password, answer in (
        ("pump-1", "pump-1", b"wrong", ReasonCode.BAD_USER_NAME_OR_PASSWORD),
        ("other", "pump-1", b"right", ReasonCode.CLIENT_IDENTIFIER_NOT_VALID),
        ("pump-1", None, None, ReasonCode.BAD_USER_NAME_OR_PASSWORD),
    ):
        assert await refused_with(come_in(client(client_id, name, password))) == answer
    async with client("pump-1", "pump-1", b"right") as pump:
        await pump.publish("devices/pump-1/state", b"1", qos=1)
        other = pump.publish("devices/pump-2/state", b"1", qos=1)
        assert await refused_with(other) == ReasonCode.NOT_AUTHORIZED
        filters = [SubscriptionRequest(each) for each in ("news/#", "#", "$SYS/#")]
        assert await pump.subscribe(filters) == [
            ReasonCode.SUCCESS,
            *[ReasonCode.NOT_AUTHORIZED] * 2,
        ]


@pytest.mark.parametrize("line", commands(PAGE))
def test_a_command_is_one(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "pump-1.txt",
        "wrong.txt",
        "blocklist.txt",
    ):  # Files that must be there are looked for.
        Path(name).touch()
    read_command(line)


def test_there_are_commands():
    assert len(commands(PAGE)) > 20


def test_the_figures_are_counted():
    assert len(set(FIGURE.findall(PAGE))) > 15
    assert unknown_figures(PAGE) == set()
