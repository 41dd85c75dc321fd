"""Who is let in, by configuration, by the access database and by files that change."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from rookery.app import Node
from rookery.app.authentication import make_authenticator
from rookery.auth.access.file import AccessFile
from rookery.auth.access.users import UserRow, put_user, remove_user
from rookery.auth.access.watch import AccessWatch
from rookery.auth.chain import Chain
from rookery.auth.passwords import hash_password
from rookery.auth.watch import FileFault, FileWatch
from rookery.config.models import Config
from rookery.ports import Accepted
from tests.support.broker import nested
from tests.support.engine import connect
from tests.support.node import dial, run
from tests.support.passwords import FakeClock, attempt

USERS = [{"username": "u", "password": "secret", "algorithm": "plain"}]
HASH = hash_password("secret", "sha256")


def test_users_with_their_passwords():
    async def work(node: Node) -> None:
        for password, answer in ((b"secret", "CONNACK"), (b"wrong", "CONNACK 0x86")):
            client = await dial(node)
            found = await client.ask(connect("a", username="u", password=password))
            assert found == [answer]
            await client.close()

    run(work, **{"broker.auth.enabled": True, "broker.auth.users": USERS})


class House:
    """A chain with its files, and no node around it."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.file = AccessFile(directory)
        self.watch = FileWatch(lambda: None)
        access = AccessWatch(self.file)
        self.watch.add(access)
        config = Config.model_validate(nested(settings))
        self.chain: Chain = make_authenticator(config, FakeClock(), access, self.watch, directory)

    def put(self, name: str, password: str = HASH, algorithm: str = "sha256", **more: Any) -> None:
        with self.file.change("op", 5.0) as change:
            put_user(change, UserRow(name, password, algorithm, **more))

    def remove(self, name: str) -> None:
        with self.file.change("op", 5.0) as change:
            assert remove_user(change, name)

    def admits(self, name: str | None, password: bytes | None = b"secret", **more: Any) -> bool:
        outcome = self.chain.authenticate(attempt(name, password, **more))
        assert not isinstance(outcome, Awaitable)
        return isinstance(outcome, Accepted)


def live(work: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def main() -> None:
            await work()

        runner.run(main())


def test_users_of_the_store_come_and_go_while_the_node_runs(tmp_path: Path):
    async def work() -> None:
        house = House(tmp_path)
        await house.watch.load()
        assert house.admits(None, None, address="127.0.0.1")
        assert not house.admits("ann")
        house.put("ann", superuser=True, groups=("ops",))
        await house.watch.look()
        outcome = house.chain.authenticate(attempt("ann", b"secret"))
        assert isinstance(outcome, Accepted)
        assert outcome.principal.superuser and outcome.principal.groups == {"ops"}
        assert not house.admits(None, None, address="127.0.0.1")
        house.remove("ann")
        await house.watch.look()
        assert house.chain.still_admits(outcome.principal) == "user 'ann' was removed"
        house.watch.close()
        await house.chain.stop()

    live(work)


def test_the_configuration_s_user_of_a_name_counts(tmp_path: Path):
    async def work() -> None:
        house = House(tmp_path, **{"broker.auth.users": USERS})
        house.put("u", hash_password("other", "sha256"))
        with capture_logs() as logs:
            await house.watch.load()
            house.put("v")
            await house.watch.look()
        told = [line["username"] for line in logs if line["event"] == "user_passed_over"]
        assert told == ["u"], "told once, though it was read twice"
        assert house.admits("u") and not house.admits("u", b"other")
        assert house.admits("v")
        house.watch.close()
        await house.chain.stop()

    live(work)


@pytest.mark.parametrize("password", ["secret", "$6$broken", ""])
def test_a_user_whose_hash_makes_no_sense_is_passed_over(tmp_path: Path, password: str):
    async def work() -> None:
        house = House(tmp_path)
        house.put("bad", password)
        house.put("ann")
        with capture_logs() as logs:
            await house.watch.load()
        assert [line["username"] for line in logs] == ["bad"]
        assert house.admits("ann") and not house.admits("bad", password.encode())
        house.watch.close()
        await house.chain.stop()

    live(work)


def test_a_password_file_beside_the_configuration(tmp_path: Path):
    async def work() -> None:
        settings = {
            "authentication.order": ["users", "password_file"],
            "authentication.password_file": "passwords",
        }
        (tmp_path / "passwords").write_text(f"ann:{HASH}\n")
        house = House(tmp_path, **settings)
        await house.watch.load()
        assert house.admits("ann")
        (tmp_path / "passwords").write_text(f"bob:{HASH}\n# one more line\n")
        await house.watch.look()
        assert house.admits("bob") and not house.admits("ann")
        (tmp_path / "passwords").write_text("bob:secret\n")
        await house.watch.look()
        assert house.admits("bob"), "a file with an error in it changes nothing"
        house.watch.close()
        await house.chain.stop()

    live(work)


def test_a_password_file_that_is_not_there_is_told_at_the_start(tmp_path: Path):
    async def work() -> None:
        house = House(
            tmp_path,
            **{"authentication.order": ["password_file"], "authentication.password_file": "none"},
        )
        with pytest.raises(FileFault, match="none cannot be read"):
            await house.watch.load()
        house.watch.close()
        await house.chain.stop()

    live(work)


def test_listeners_differ(tmp_path: Path):
    async def work() -> None:
        listeners = [
            {"type": "tcp", "name": "open", "anonymous": "allow", "authentication": []},
            {"type": "tcp", "name": "shut", "port": 5},
        ]
        house = House(tmp_path, **{"broker.auth.users": USERS, "listeners": listeners})
        await house.watch.load()
        assert house.admits(None, None, listener="open")
        assert house.admits("u", b"wrong", listener="open"), "nothing is asked there"
        assert not house.admits(None, None, listener="shut", address="127.0.0.1")
        assert house.admits("u", listener="shut") and not house.admits("u", b"x", listener="shut")
        house.watch.close()
        await house.chain.stop()

    live(work)


@pytest.mark.parametrize(
    ("enabled", "address", "admitted"),
    [
        (None, "127.0.0.1", True),
        (None, "192.0.2.7", False),
        (False, "192.0.2.7", True),
        (True, "127.0.0.1", False),
    ],
)
def test_a_fresh_node_lets_in_this_machine_only(tmp_path, enabled, address, admitted):
    async def work() -> None:
        house = House(tmp_path, **{"broker.auth.enabled": enabled})
        await house.watch.load()
        assert house.admits(None, None, address=address) == admitted
        assert house.admits("admin", b"public", address=address) == admitted
        house.watch.close()
        await house.chain.stop()

    live(work)
