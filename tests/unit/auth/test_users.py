import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from rookery.auth.passwords import StoredPassword, hash_password, parse_password
from rookery.auth.users import User, UsersAuthenticator, VerifiedCache
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, Authenticator, Refused

Outcome = Accepted | Refused


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        raise AssertionError("what is remembered must not depend on the wall clock")


@dataclass(frozen=True)
class GatedPassword(StoredPassword):
    """A costly password whose comparisons wait at a gate, and are counted."""

    gate: threading.Event | None = None
    compared: list[bytes] | None = None

    def matches(self, password: bytes) -> bool:
        assert self.gate is not None
        assert self.compared is not None
        self.compared.append(password)
        assert self.gate.wait(10)
        return password == b"right"


def bcrypt_password(password: str) -> StoredPassword:
    stored = parse_password(hash_password(password, "bcrypt", 4), "bcrypt", "")
    assert stored is not None
    return stored


def sha256_password(password: str) -> StoredPassword:
    stored = parse_password(hash_password(password, "sha256"), "sha256", "")
    assert stored is not None
    return stored


def gated(gate: threading.Event, compared: list[bytes]) -> GatedPassword:
    return GatedPassword("bcrypt", bcrypt_password("decoy").digest, b"", gate, compared)


def attempt(username: str | None, password: bytes | None) -> Attempt:
    return Attempt(
        client_id="c1", username=username, password=password, address="192.0.2.7", listener="tcp"
    )


@contextmanager
def authenticator(*users: User, **settings: float) -> Iterator[UsersAuthenticator]:
    subject = UsersAuthenticator(users, FakeClock(), **settings)  # type: ignore[arg-type]
    try:
        yield subject
    finally:
        subject.close()


async def outcome_of(
    subject: Authenticator, username: str | None, password: bytes | None
) -> Outcome:
    outcome = subject.authenticate(attempt(username, password))
    return outcome if isinstance(outcome, Accepted | Refused) else await outcome


def at_once(subject: UsersAuthenticator, username: str | None, password: bytes | None) -> Outcome:
    outcome = subject.authenticate(attempt(username, password))
    assert isinstance(outcome, Accepted | Refused)
    return outcome


def assert_refused(outcome: Outcome, reason: str) -> None:
    assert outcome == Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, reason)


def run(work: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(work())


@pytest.mark.parametrize("make", [bcrypt_password, sha256_password])
def test_the_right_password_lets_in_and_all_else_is_one_refusal(
    make: Callable[[str], StoredPassword],
) -> None:
    async def work() -> None:
        with authenticator(
            User("ann", make("right")), User("bob", make("right"), enabled=False)
        ) as subject:
            accepted = await outcome_of(subject, "ann", b"right")
            assert isinstance(accepted, Accepted)
            assert accepted.principal.name == "ann"
            assert accepted.principal.client_id == "c1"
            assert accepted.principal.address == "192.0.2.7"
            assert accepted.principal.listener == "tcp"
            wrong = "wrong password for user 'ann'"
            assert_refused(await outcome_of(subject, "ann", b"wrong"), wrong)
            assert_refused(await outcome_of(subject, "eve", b"right"), "there is no user 'eve'")
            assert_refused(await outcome_of(subject, "bob", b"right"), "user 'bob' is disabled")
            assert_refused(
                await outcome_of(subject, "bob", b"wrong"), "wrong password for user 'bob'"
            )

    run(work)


def test_without_a_name_or_a_password_there_is_nothing_to_compare() -> None:
    with authenticator(User("ann", bcrypt_password(""))) as subject:
        assert_refused(at_once(subject, None, b"x"), "no user name was given")
        assert_refused(at_once(subject, "ann", None), "user 'ann' gave no password")


def test_cheap_hashes_are_decided_without_waiting() -> None:
    with authenticator(User("ann", sha256_password("right"))) as subject:
        assert isinstance(at_once(subject, "ann", b"right"), Accepted)
        assert isinstance(at_once(subject, "ann", b"wrong"), Refused)
        assert isinstance(at_once(subject, "eve", b"wrong"), Refused)


def test_no_user_at_all_refuses_all() -> None:
    with authenticator() as subject:
        assert_refused(at_once(subject, "ann", b"x"), "there is no user 'ann'")


def test_every_refusal_takes_the_work_of_the_costliest_hash() -> None:
    async def work() -> None:
        gate, compared = threading.Event(), list[bytes]()
        gate.set()
        users = (User("slow", gated(gate, compared)), User("quick", sha256_password("other")))
        with authenticator(*users) as subject:
            subject._decoy = gated(gate, compared)
            for name in ("slow", "quick", "nobody"):
                before = len(compared)
                assert isinstance(await outcome_of(subject, name, b"wrong"), Refused)
                assert len(compared) == before + 1
            # The decoy's password opens nobody's door, not even that of a cheap hash.
            for name in ("quick", "nobody"):
                assert isinstance(await outcome_of(subject, name, b"right"), Refused)

    run(work)


def test_the_decoy_costs_what_the_costliest_user_does() -> None:
    costs = [4, 6, 5]
    users = [
        User(str(cost), parsed)
        for cost in costs
        if (parsed := parse_password(hash_password("x", "bcrypt", cost), "bcrypt", ""))
    ]
    with authenticator(*users) as subject:
        assert subject._decoy.cost == 6


def test_bcrypt_runs_off_the_loop() -> None:
    async def work() -> None:
        gate, compared = threading.Event(), list[bytes]()
        with authenticator(User("ann", gated(gate, compared))) as subject:
            waiting = asyncio.gather(outcome_of(subject, "ann", b"right"))
            # The loop goes on while the comparison stands at its gate; only it opens the gate.
            asyncio.get_running_loop().call_soon(gate.set)
            assert isinstance((await waiting)[0], Accepted)

    run(work)


def test_a_crowd_with_one_password_is_one_comparison() -> None:
    async def work() -> None:
        gate, compared = threading.Event(), list[bytes]()
        with authenticator(User("ann", gated(gate, compared)), waiting_max=1) as subject:
            waiting = asyncio.gather(*(outcome_of(subject, "ann", b"right") for _ in range(100)))
            asyncio.get_running_loop().call_soon(gate.set)
            outcomes = await waiting
            assert all(isinstance(outcome, Accepted) for outcome in outcomes)
            assert compared == [b"right"]

    run(work)


def test_one_that_goes_away_does_not_take_the_others_comparison() -> None:
    async def work() -> None:
        gate, compared = threading.Event(), list[bytes]()
        with authenticator(User("ann", gated(gate, compared))) as subject:
            async with asyncio.TaskGroup() as group:
                first = group.create_task(outcome_of(subject, "ann", b"right"))
                second = group.create_task(outcome_of(subject, "ann", b"right"))
                await asyncio.sleep(0)
                first.cancel()
                gate.set()
            assert first.cancelled()
            assert isinstance(second.result(), Accepted)
            assert compared == [b"right"]

    run(work)


def test_beyond_the_bound_the_server_is_busy_and_recovers() -> None:
    async def work() -> None:
        gate, compared = threading.Event(), list[bytes]()
        with authenticator(User("ann", gated(gate, compared)), waiting_max=2) as subject:
            waiting = asyncio.gather(*(outcome_of(subject, "ann", b"%d" % n) for n in range(5)))
            asyncio.get_running_loop().call_soon(gate.set)
            outcomes = await waiting
            codes = [outcome.reason_code for outcome in outcomes if isinstance(outcome, Refused)]
            bad = ReasonCode.BAD_USER_NAME_OR_PASSWORD
            assert codes == [bad, bad] + [ReasonCode.SERVER_BUSY] * 3
            assert isinstance(await outcome_of(subject, "ann", b"right"), Accepted)

    run(work)


def test_a_success_is_remembered_and_a_failure_is_not() -> None:
    async def work() -> None:
        gate, compared = threading.Event(), list[bytes]()
        gate.set()
        with authenticator(User("ann", gated(gate, compared)), remember_seconds=60) as subject:
            for _ in range(3):
                assert isinstance(await outcome_of(subject, "ann", b"right"), Accepted)
            assert compared == [b"right"]
            for _ in range(2):
                assert isinstance(await outcome_of(subject, "ann", b"wrong"), Refused)
            assert compared == [b"right", b"wrong", b"wrong"]

    run(work)


def test_a_disabled_users_right_password_is_not_remembered() -> None:
    async def work() -> None:
        user = User("ann", bcrypt_password("right"), enabled=False)
        with authenticator(user, remember_seconds=60) as subject:
            await outcome_of(subject, "ann", b"right")
            assert len(subject._verified) == 0

    run(work)


def test_what_is_remembered_ends() -> None:
    clock = FakeClock()
    cache = VerifiedCache(clock, remember_seconds=10, entries_max=5)
    key = cache.key("ann", b"right")
    cache.add(key)
    clock.now += 9.9
    assert key in cache
    clock.now += 0.1
    assert key not in cache
    assert len(cache) == 0


def test_remembering_for_no_time_is_not_remembering() -> None:
    cache = VerifiedCache(FakeClock(), remember_seconds=0, entries_max=5)
    cache.add(cache.key("ann", b"right"))
    assert len(cache) == 0


def test_a_full_table_forgets_its_oldest() -> None:
    cache = VerifiedCache(FakeClock(), remember_seconds=10, entries_max=2)
    one, two, three = (cache.key(name, b"") for name in ("one", "two", "three"))
    cache.add(one)
    cache.add(two)
    cache.add(one)
    cache.add(three)
    assert (one in cache, two in cache, three in cache) == (True, False, True)


def test_keys_tell_name_and_password_apart_and_tell_nothing_else() -> None:
    cache = VerifiedCache(FakeClock(), 10, 5)
    assert cache.key("ab", b"c") != cache.key("a", b"bc")
    assert cache.key("ab", b"c") == cache.key("ab", b"c")
    assert cache.key("ab", b"c") != VerifiedCache(FakeClock(), 10, 5).key("ab", b"c")


def test_a_name_may_stand_once() -> None:
    user = User("ann", sha256_password("x"))
    with pytest.raises(ValueError, match="user 'ann' is there twice"):
        UsersAuthenticator([user, user], FakeClock())


def test_there_is_no_enhanced_authentication() -> None:
    with authenticator() as subject:
        assert subject.methods == frozenset()
        with pytest.raises(ValueError, match="no authentication method 'SCRAM'"):
            subject.begin("SCRAM", attempt("ann", b"x"))
