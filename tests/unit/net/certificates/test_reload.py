import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rookery.net.certificates.facts import certificates_in
from rookery.net.certificates.options import KeyPair, TlsFileFault, TlsOptions
from rookery.net.certificates.reload import TICKETS_SECONDS, TlsReloader
from tests.support.certificates import Authority
from tests.support.engine import FakeClock


class World:
    """A listener whose files the test writes, and a clock that it moves."""

    def __init__(self, directory: Path, days: float = 60) -> None:
        self.directory = directory
        self.pair = Authority(directory, days=days).server(days=days)
        self.options = TlsOptions(KeyPair(self.pair.certificate, self.pair.private_key))
        self.clock = FakeClock(wall=self.begin())
        self.reloader = TlsReloader(self.clock)
        self.tls = self.reloader.open("tls", self.options)

    def begin(self) -> float:
        """A wall time at which the certificate has as many days as it was made with."""
        (fact,) = certificates_in(self.pair.certificate, "certificate")
        return fact.not_before + 20 * 86_400

    def renew(self, days: float = 60) -> None:
        Authority(self.directory).server(days=days)

    def look(self, times: int = 1, asked: bool = False) -> list[str]:
        """The events logged meanwhile."""
        with capture_logs() as logs:
            for _ in range(times):
                asyncio.run(self.reloader.look(asked))
        return [line["event"] for line in logs]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_files_that_do_not_change_are_not_read(world: World) -> None:
    before = world.tls.context
    assert world.look(3) == []
    assert world.tls.context is before
    assert world.tls.reloads == 0


def test_a_change_is_taken_up_once_it_rests(world: World) -> None:
    before = world.tls.context
    world.renew()
    assert world.look() == []
    assert world.tls.context is before
    assert world.look() == ["tls_reloaded"]
    assert world.tls.context is not before
    assert world.look(3) == []


def test_a_file_that_goes_on_changing_is_waited_for(world: World) -> None:
    for _ in range(3):
        world.renew()
        assert world.look() == []
    assert world.look() == ["tls_reloaded"]


def test_who_asks_does_not_wait(world: World) -> None:
    assert world.look(asked=True) == ["tls_reloaded"]
    assert world.tls.reloads == 1


def test_bad_files_are_told_once_and_the_former_go_on(world: World) -> None:
    before = world.tls.context
    world.pair.private_key.write_text("half")
    with capture_logs() as logs:
        for _ in range(4):
            asyncio.run(world.reloader.look())
    (line,) = logs
    key = world.pair.private_key
    error = f"private key file {key} holds no private key in PEM form"
    assert line == {
        "event": "tls_reload_failed",
        "listener": "tls",
        "error": error,
        "log_level": "error",
    }
    assert world.tls.context is before
    assert world.reloader.problems() == [
        f"listener tls goes on with its former certificates: {error}"
    ]
    world.renew()
    assert world.look(2) == ["tls_reloaded"]
    assert world.reloader.problems() == []


def test_a_file_that_is_gone_is_a_failed_reload(world: World) -> None:
    world.pair.certificate.unlink()
    assert world.look(3) == ["tls_reload_failed"]


def test_contexts_and_their_ticket_keys_do_not_grow_old(world: World) -> None:
    before = world.tls.context
    world.clock.now += TICKETS_SECONDS - 1
    world.look()
    assert world.tls.context is before
    world.clock.now += 1
    assert world.look() == []
    assert world.tls.context is not before
    renewed = world.tls.context
    world.look()
    assert world.tls.context is renewed


def test_other_files_can_be_asked_for(world: World, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other").server("other")
    world.tls.wanted = TlsOptions(KeyPair(other.certificate, other.private_key))
    assert world.look(asked=True) == ["tls_reloaded"]
    assert world.tls.facts[0].subject == "other"
    assert world.look(3) == []


def test_a_listener_with_bad_files_is_not_watched(tmp_path: Path) -> None:
    reloader = TlsReloader(FakeClock())
    with pytest.raises(TlsFileFault):
        reloader.open("tls", TlsOptions(KeyPair(tmp_path / "no", tmp_path / "no")))
    assert reloader.listeners == []


class TestEnds:
    def warned(self, world: World) -> list[float]:
        with capture_logs() as logs:
            world.reloader.warn()
        assert {line["event"] for line in logs} <= {"certificate_ends"}
        return [line["days_left"] for line in logs]

    def test_a_certificate_that_lasts_is_not_spoken_of(self, world: World) -> None:
        assert self.warned(world) == []
        assert world.reloader.problems() == []

    def test_one_that_ends_soon_is_told_once_a_day(self, world: World) -> None:
        world.clock.now += 31 * 86_400
        assert self.warned(world) == [29.0]
        assert self.warned(world) == []
        world.clock.now += 86_399
        assert self.warned(world) == []
        world.clock.now += 1
        assert self.warned(world) == [28.0]
        (problem,) = world.reloader.problems()
        assert problem.startswith(
            f"certificate server in {world.pair.certificate} (listener tls) ends on 20"
        )

    def test_one_that_has_ended_is_told_too(self, world: World) -> None:
        world.clock.now += 61 * 86_400
        assert self.warned(world) == [-1.0]
        assert " ended on 20" in world.reloader.problems()[0]

    def test_after_a_change_it_is_told_again(self, world: World) -> None:
        world.clock.now += 31 * 86_400
        assert len(self.warned(world)) == 1
        world.look(asked=True)
        assert len(self.warned(world)) == 1

    def test_a_revocation_list_is_told_when_it_is_out_of_date(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        authority = Authority(tmp_path, "clients", days=90)
        world.tls.wanted = TlsOptions(
            world.options.pair,
            ca=authority.certificate,
            client_certificate="required",
            crl=authority.revoke(days=7),
        )
        world.look(asked=True)
        world.clock.now += 6.5 * 86_400
        assert self.warned(world) == []
        world.clock.now += 86_400
        assert [days in (-0.5, -0.4) for days in self.warned(world)] == [True]
        assert world.reloader.problems()[0].startswith("CRL Test clients in ")


def test_it_looks_until_it_is_cancelled(world: World) -> None:
    async def work() -> None:
        looked = asyncio.Event()
        asked: list[bool] = []

        async def look(by_request: bool = False) -> None:
            asked.append(by_request)
            looked.set()

        world.reloader.look = look  # type: ignore[method-assign]
        running = asyncio.create_task(world.reloader.run())
        world.reloader.ask()
        await looked.wait()
        assert asked == [True]
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(work())


def test_being_asked_at_the_end_does_not_keep_it_from_ending(world: World) -> None:
    async def work() -> None:
        running = asyncio.create_task(world.reloader.run())
        await asyncio.sleep(0)
        world.reloader.ask()
        await asyncio.sleep(0)
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=5)
        assert done

    asyncio.run(work())
