import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from rookery.app.bans import TIDY_SECONDS, BanKeeper, make_guard
from rookery.auth.access.bans import add_bans, read_bans, remove_ban
from rookery.auth.access.file import AccessFile
from rookery.auth.access.watch import AccessWatch
from rookery.auth.banned import made
from rookery.config.models import Config
from rookery.engine.stats import Stats
from tests.support.engine import FakeClock
from tests.support.node import config

BANS = {
    "bans.failures": {"failures_max": 1, "window_seconds": 60, "ban_seconds": 300},
    "bans.automatic_max": 2,
}


class World:
    """A guard and its keeper, on a database or none."""

    def __init__(self, directory: Path | None, clock: FakeClock | None = None):
        settings = config(**BANS)
        self.clock = clock or FakeClock()
        self.file = None if directory is None else AccessFile(directory)
        self.watch = AccessWatch(self.file)
        self.guard = make_guard(settings, self.clock, Stats(0.0))
        self.keeper = BanKeeper(self.guard, self.file, self.watch, self.clock, 2)
        self.read()

    def read(self) -> None:
        self.watch.read()()

    def look(self) -> None:
        asyncio.run(self.keeper.look())

    def fail(self, address: str) -> None:
        for _ in range(2):
            self.guard.failed(address)

    def in_file(self) -> list[str]:
        assert self.file is not None
        with self.file.reading() as connection:
            return [ban.pattern for ban in read_bans(connection)]

    def in_force(self) -> list[str]:
        return [ban.pattern for ban in self.guard.banned]


def test_the_guard_is_what_the_configuration_asks_for():
    clock = FakeClock()
    guard = make_guard(Config(), clock, Stats(0.0))
    for _ in range(101):
        guard.failed("198.51.100.1")
        guard.failed("127.0.0.1")
        assert guard.connected("c") is None, "flapping is off"
    assert [ban.pattern for ban in guard.banned] == ["198.51.100.1"]
    none = make_guard(config(**{"bans.failures": None, "bans.flapping": {}}), clock, Stats(0.0))
    for _ in range(16):
        none.failed("198.51.100.1")
        none.connected("c")
    assert [ban.pattern for ban in none.banned] == ["c"]


def test_what_the_node_bans_outlives_it(tmp_path: Path):
    world = World(tmp_path)
    world.fail("198.51.100.1")
    assert world.in_force() == ["198.51.100.1"]
    assert world.in_file() == []
    world.look()
    assert world.in_file() == ["198.51.100.1"]
    again = World(tmp_path, world.clock)
    assert again.in_force() == ["198.51.100.1"]


def test_it_holds_while_it_is_not_written_yet(tmp_path: Path):
    world = World(tmp_path)
    world.fail("198.51.100.1")
    world.read()
    assert world.in_force() == ["198.51.100.1"]


def test_an_operator_may_lift_it(tmp_path: Path):
    world = World(tmp_path)
    world.fail("198.51.100.1")
    world.look()
    assert world.file is not None
    with world.file.change("op", world.clock.wall()) as change:
        remove_ban(change, "address", "198.51.100.1")
    world.read()
    world.look()
    assert (world.in_force(), world.in_file()) == ([], [])


def test_an_operator_s_takes_force_when_it_is_read(tmp_path: Path):
    world = World(tmp_path)
    assert world.file is not None
    with world.file.change("op", world.clock.wall()) as change:
        add_bans(change, [made("client_id", "c", "deny", "", "op", 1.0, None)])
    assert world.in_force() == []
    world.read()
    assert world.in_force() == ["c"]


def test_no_more_are_kept_than_may_be(tmp_path: Path):
    world = World(tmp_path)
    for number in range(5):
        world.clock.now += 1
        world.fail(f"198.51.100.{number}")
    world.look()
    assert world.in_file() == world.in_force() == ["198.51.100.3", "198.51.100.4"]


def test_those_that_are_over_are_removed_in_a_while(tmp_path: Path):
    world = World(tmp_path)
    world.fail("198.51.100.1")
    world.look()
    world.clock.now += 300
    world.look()
    assert (world.in_force(), world.in_file()) == ([], ["198.51.100.1"])
    world.clock.now += TIDY_SECONDS
    world.look()
    assert world.in_file() == []


def test_what_cannot_be_written_is_told_once_and_tried_again(tmp_path: Path):
    world = World(tmp_path)
    (tmp_path / "access.db").write_text("no database" * 1_000)
    world.fail("198.51.100.1")
    with capture_logs() as logs:
        world.look()
        world.look()
    assert [line["event"] for line in logs if "not_written" in line["event"]] == [
        "bans_not_written"
    ]
    (tmp_path / "access.db").unlink()
    world.look()
    assert world.in_file() == ["198.51.100.1"]


def test_without_a_database_they_last_as_long_as_the_process():
    world = World(None)
    world.fail("198.51.100.1")
    world.look()
    world.read()
    assert world.guard.of_address("198.51.100.1") is None or world.in_force() == ["198.51.100.1"]
