import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from rookery.auth.source import NotKnown, Verdict
from rookery.auth.users import User, UsersSource
from rookery.auth.verifier import Verifier
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Principal, Refused
from tests.support.passwords import FakeClock, GatedPassword, attempt, cheap, settled

BAD = ReasonCode.BAD_USER_NAME_OR_PASSWORD
NOT_VALID = ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
RIGHT = cheap("right")


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    made = Verifier(FakeClock(), remember_seconds=60)
    yield made
    made.close()


def ann(**more: Any) -> User:
    return User("ann", more.pop("password", RIGHT), **more)


def at_once(source: UsersSource, username: str | None, password: bytes | None) -> Verdict:
    verdict = source.authenticate(attempt(username, password))
    assert isinstance(verdict, Accepted | Refused | NotKnown)
    return verdict


def let_in(source: UsersSource, username: str = "ann", client_id: str = "c1") -> Principal:
    verdict = source.authenticate(attempt(username, b"right", client_id=client_id))
    assert isinstance(verdict, Accepted)
    return verdict.principal


def run(work: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(work())


class TestDeciding:
    def test_the_right_password_lets_in(self, verifier: Verifier):
        user = ann(superuser=True, groups=frozenset({"ops"}))
        principal = let_in(UsersSource("users", verifier, [user]))
        assert (principal.name, principal.source, principal.superuser) == ("ann", "users", True)
        assert principal.groups == {"ops"}
        assert (principal.client_id, principal.address) == ("c1", "192.0.2.7")
        assert principal.listener == "tcp"

    def test_all_else_is_one_refusal(self, verifier: Verifier):
        source = UsersSource("users", verifier, [ann(), User("bob", RIGHT, enabled=False)])
        for name, password, reason in (
            ("ann", b"wrong", "wrong password for user 'ann'"),
            ("ann", None, "user 'ann' gave no password"),
            ("bob", b"right", "user 'bob' is disabled"),
            ("bob", b"wrong", "wrong password for user 'bob'"),
        ):
            assert at_once(source, name, password) == Refused(BAD, reason)

    def test_others_are_left_to_the_next_source(self, verifier: Verifier):
        source = UsersSource("users", verifier, [ann()])
        assert at_once(source, "eve", b"right") == NotKnown("there is no user 'eve'")
        assert at_once(source, None, b"right") == NotKnown("no user name was given")
        assert source.methods == frozenset()
        with pytest.raises(ValueError, match="no authentication method 'SCRAM'"):
            source.begin("SCRAM", attempt("ann", b"x"))

    def test_a_costly_hash_is_waited_for(self, verifier: Verifier):
        async def work() -> None:
            source = UsersSource("users", verifier, [ann(password=GatedPassword())])
            found = await settled(source.authenticate(attempt("ann", b"right")))
            assert isinstance(found, Accepted)
            found = await settled(source.authenticate(attempt("ann", b"wrong")))
            assert found == Refused(BAD, "wrong password for user 'ann'")

        run(work)

    def test_too_many_at_once_are_told_so(self):
        async def work() -> None:
            stored = GatedPassword(threading.Event())
            assert stored.gate is not None
            verifier = Verifier(FakeClock(), waiting_max=1)
            source = UsersSource("users", verifier, [ann(password=stored)])
            waiting = asyncio.gather(
                *(settled(source.authenticate(attempt("ann", b"%d" % n))) for n in range(2))
            )
            asyncio.get_running_loop().call_soon(stored.gate.set)
            _, busy = await waiting
            assert isinstance(busy, Refused) and busy.reason_code == ReasonCode.SERVER_BUSY
            verifier.close()

        run(work)

    def test_a_disabled_user_s_right_password_is_not_remembered(self, verifier: Verifier):
        async def work() -> None:
            stored = GatedPassword()
            source = UsersSource("users", verifier, [ann(password=stored, enabled=False)])
            for _ in range(2):
                await settled(source.authenticate(attempt("ann", b"right")))
            assert stored.compared == [b"right", b"right"]

        run(work)

    def test_a_name_may_stand_once(self, verifier: Verifier):
        with pytest.raises(ValueError, match="user 'ann' is there twice"):
            UsersSource("users", verifier, [ann(), ann()])


class TestTheClientId:
    @pytest.mark.parametrize(
        ("bound", "client_id", "taken"),
        [
            (None, "any", True),
            (None, "", True),
            ("meter-7", "meter-7", True),
            ("meter-7", "meter-70", False),
            ("meter-7", "", False),
            ("meter-*", "meter-", True),
            ("meter-*", "meter-70", True),
            ("meter-*", "mete", False),
            ("meter-*", "", False),
            ("*", "", True),
        ],
    )
    def test_may_be_bound(self, verifier: Verifier, bound, client_id, taken):
        source = UsersSource("users", verifier, [ann(client_id=bound)])
        verdict = source.authenticate(attempt("ann", b"right", client_id=client_id))
        assert isinstance(verdict, Accepted) == taken
        if not taken:
            reason = f"user 'ann' may only use the client id {bound!r}"
            assert verdict == Refused(NOT_VALID, reason)

    def test_is_told_of_to_nobody_without_the_password(self, verifier: Verifier):
        source = UsersSource("users", verifier, [ann(client_id="other")])
        assert at_once(source, "ann", b"wrong") == Refused(BAD, "wrong password for user 'ann'")


class TestAnotherTable:
    @pytest.fixture
    def source(self, verifier: Verifier) -> UsersSource:
        return UsersSource("users", verifier, [ann(client_id="c*"), User("bob", RIGHT)])

    def test_is_in_force_once_it_is_put_there(self, source: UsersSource):
        put = source.prepare([User("eve", RIGHT)])
        assert source.count == 2
        assert isinstance(at_once(source, "eve", b"right"), NotKnown)
        put()
        assert source.count == 1
        assert let_in(source, "eve").name == "eve"

    @pytest.mark.parametrize(
        ("users", "reason"),
        [
            ([], "user 'ann' was removed"),
            ([ann(enabled=False)], "user 'ann' is disabled"),
            ([ann(password=cheap("new"))], "user 'ann' got another password or other rights"),
            ([ann(superuser=True)], "user 'ann' got another password or other rights"),
            ([ann(groups=frozenset("g"))], "user 'ann' got another password or other rights"),
            ([ann(client_id="d*")], "user 'ann' may not use this client id any more"),
        ],
        ids=["removed", "disabled", "password", "superuser", "groups", "binding"],
    )
    def test_may_put_somebody_out(self, source: UsersSource, users: list[User], reason: str):
        principal = let_in(source)
        before = source.generation
        source.prepare([*users, User("bob", RIGHT)])()
        assert source.generation > before
        assert source.still_admits(principal) == reason

    def test_puts_nobody_out_for_others_or_for_nothing(self, source: UsersSource):
        principal = let_in(source)
        before = source.generation
        source.prepare([ann(client_id="c*"), User("bob", RIGHT), User("eve", RIGHT)])()
        assert source.generation == before
        assert source.still_admits(principal) is None

    def test_a_user_that_went_and_came_back_must_come_again(self, source: UsersSource):
        principal = let_in(source)
        source.prepare([])()
        source.prepare([ann(client_id="c*")])()
        assert source.still_admits(principal) is not None

    def test_the_first_user_is_told_because_it_ends_what_held_without(self, verifier: Verifier):
        source = UsersSource("users", verifier)
        before = source.generation
        source.prepare([ann()])()
        assert source.generation > before

    def test_while_a_comparison_runs(self, verifier: Verifier):
        async def work() -> None:
            for others, admitted in (([ann(password=cheap("new"))], False), (None, True)):
                stored = GatedPassword(threading.Event())
                assert stored.gate is not None
                source = UsersSource("users", verifier, [ann(password=stored)])
                waiting = asyncio.gather(settled(source.authenticate(attempt("ann", b"right"))))
                await asyncio.sleep(0)
                source.prepare(others or [ann(password=stored), User("bob", RIGHT)])()
                stored.gate.set()
                (found,) = await waiting
                assert isinstance(found, Accepted) == admitted
                if not admitted:
                    assert found == Refused(BAD, "user 'ann' was changed meanwhile")

        run(work)

    def test_tells_the_verifier_what_a_refusal_costs(self, verifier: Verifier):
        source = UsersSource("users", verifier, [ann()])
        assert verifier.pretend("nobody", b"x") is None

        async def work() -> None:
            source.prepare([ann(), User("bob", GatedPassword())])()
            working = verifier.pretend("nobody", b"x")
            assert working is not None
            assert await working is False

        run(work)
