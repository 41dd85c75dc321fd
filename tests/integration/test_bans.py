"""Bans on a running node, made by the command, and the audit of all that is done."""

import asyncio
import json
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from rookery.client import Client
from rookery.client.errors import ClientError, ConnectionLost, ConnectionRefused
from rookery.mqtt.types import ReasonCode
from tests.support.command import rookery
from tests.support.node_process import NodeProcess

PATIENCE_SECONDS = 10
USERS = '[{"username": "u", "password": "right", "algorithm": "plain"}]'


class World:
    """A node on a directory, and the commands on the same."""

    def __init__(self, directory: Path, *settings: str) -> None:
        self.file = directory / "rookery.yaml"
        self.file.write_text(
            "listeners: [{type: tcp, host: 127.0.0.1, port: 0}]\n"
            "metrics: {enabled: false}\nstore: {directory: here}\n" + "\n".join(settings)
        )

    def node(self) -> NodeProcess:
        return NodeProcess("-c", str(self.file))

    def command(self, *arguments: str, given: str = "") -> str:
        done = rookery(*arguments, "-c", str(self.file), stdin=given.encode())
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()


def client(node: NodeProcess, client_id: str, password: bytes | None = None) -> Client:
    host, port = node.addresses("tcp")[0]
    name = None if password is None else "u"
    return Client(host, port, client_id=client_id, username=name, password=password)


async def answer(node: NodeProcess, client_id: str, password: bytes | None = None) -> str:
    """What a client hears that connects."""
    try:
        async with client(node, client_id, password):
            return "let in"
    except ConnectionRefused as refused:
        return ReasonCode(refused.reason_code).name
    except (ConnectionLost, OSError):
        return "closed"


async def until(node: NodeProcess, client_id: str, expected: str) -> None:
    async def ask() -> None:
        while await answer(node, client_id) != expected:
            await asyncio.sleep(0.05)

    await asyncio.wait_for(ask(), PATIENCE_SECONDS)


def test_a_ban_takes_effect_on_a_running_node_and_so_does_its_end(tmp_path: Path):
    world = World(tmp_path)

    async def work(node: NodeProcess) -> None:
        async with client(node, "good") as good:
            with suppress(ClientError):
                async with client(node, "bad-1") as bad:
                    world.command("ban", "add", "client_id", "bad-*", "--action", "disconnect")
                    with pytest.raises(ClientError):
                        await asyncio.wait_for(anext(aiter(bad.messages())), PATIENCE_SECONDS)
            assert await answer(node, "bad-2") == "BANNED"
            await good.publish("t", b"x", 1)
            world.command("ban", "remove", "client_id", "bad-*")
            await until(node, "bad-1", "let in")
            world.command("ban", "import", "-", given="127.0.0.0/8\n")
            await until(node, "bad-1", "closed")
            await good.publish("t", b"x", 1)

    with world.node() as node:
        asyncio.run(work(node))
        acts = [node.event("audit") for _ in range(3)]
        assert [act["action"] for act in acts] == ["ban add", "ban remove", "ban add"]
        node.send(signal.SIGHUP)
        act = node.event("audit")
        assert (act["by"], act["action"]) == ("node", "config reload")
    lines = world.command("audit", "list", "--json").splitlines()
    assert [json.loads(line)["target"] for line in lines[:2]] == ["client_id bad-*"] * 2


def test_a_topic_that_is_banned_ends_who_publishes_to_it(tmp_path: Path):
    world = World(tmp_path)
    world.command("ban", "add", "topic", "secret/#", "--action", "disconnect")

    async def work(node: NodeProcess) -> None:
        async with client(node, "c") as good:
            await good.publish("open", b"x", 1)
            with pytest.raises(ClientError):
                await good.publish("secret/x", b"x", 1)

    with world.node() as node:
        asyncio.run(work(node))
        assert node.event("permission_denied")["rule"] == "ban of topic secret/#"


def test_who_guesses_passwords_is_banned_and_stays_so_over_a_restart(tmp_path: Path):
    bans = "bans: {exempt_addresses: [], failures: {failures_max: 3, ban_seconds: 600}}"
    world = World(tmp_path, bans, f"broker: {{auth: {{users: {USERS}}}}}")

    async def guess(node: NodeProcess) -> list[str]:
        return [await answer(node, "g", b"wrong") for _ in range(5)]

    with world.node() as node:
        assert asyncio.run(guess(node)) == ["BAD_USER_NAME_OR_PASSWORD"] * 4 + ["closed"]
        assert node.event("ban_made")["pattern"] == "127.0.0.1"
        assert node.event("connection_refused")["reason"] == "banned"
        assert node.event("audit")["action"] == "ban add"
        (ban,) = world.command("ban", "export").splitlines()
        assert json.loads(ban)["by"] == "node"
    with world.node() as node:
        assert asyncio.run(answer(node, "u", b"right")) == "closed"
        world.command("ban", "remove", "address", "127.0.0.1")

        async def again() -> None:
            while await answer(node, "u", b"right") != "let in":
                await asyncio.sleep(0.05)

        asyncio.run(asyncio.wait_for(again(), PATIENCE_SECONDS))
