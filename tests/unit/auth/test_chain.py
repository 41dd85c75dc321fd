import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field

import pytest

from rookery.auth.anonymous import ALLOW, AUTO, DENY, LOOPBACK
from rookery.auth.chain import Chain, Gate
from rookery.auth.source import NotKnown, Source, Verdict
from rookery.auth.users import User, UsersSource
from rookery.auth.verifier import Verifier
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, Exchange, Principal, Refused
from tests.support.passwords import FakeClock, GatedPassword, attempt, cheap, settled

BAD = ReasonCode.BAD_USER_NAME_OR_PASSWORD
HERE = "127.0.0.1"


@dataclass(eq=False)
class Scripted:
    """A source that answers by user name, at once or later."""

    name: str
    answers: dict[str | None, Verdict]
    later: bool = False
    methods: frozenset[str] = frozenset()
    generation: int = 0
    asked: list[str | None] = field(default_factory=list)
    running: list[str] = field(default_factory=list)

    def authenticate(self, attempt: Attempt) -> Verdict | Awaitable[Verdict]:
        self.asked.append(attempt.username)
        answer = self.answers.get(attempt.username, NotKnown("never seen"))
        return self._wait(answer) if self.later else answer

    async def _wait(self, answer: Verdict) -> Verdict:
        await asyncio.sleep(0)
        return answer

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        return f"{self.name} {method}"  # type: ignore[return-value]

    def still_admits(self, principal: Principal) -> str | None:
        return f"{self.name} was asked"

    async def start(self) -> None:
        self.running.append("start")

    async def stop(self) -> None:
        self.running.append("stop")


def yes(name: str, source: str) -> Accepted:
    return Accepted(Principal(name, source=source))


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    made = Verifier(FakeClock())
    yield made
    made.close()


def chain(
    verifier: Verifier,
    *sources: Source,
    anonymous: str = DENY,
    users: UsersSource | None = None,
    **more: Gate,
) -> Chain:
    gates = {"tcp": Gate(sources, anonymous), **more}
    return Chain(gates, users or UsersSource("users", verifier), verifier)


def at_once(subject: Chain, who: Attempt) -> Accepted | Refused:
    outcome = subject.authenticate(who)
    assert isinstance(outcome, Accepted | Refused), "a task would be needed"
    return outcome


class TestTheOrder:
    @pytest.mark.parametrize("later", [(False, False), (True, False), (False, True), (True, True)])
    def test_the_first_that_knows_decides(self, verifier: Verifier, later: tuple[bool, bool]):
        async def work() -> None:
            one = Scripted("one", {"a": yes("a", "one"), "b": Refused(BAD, "no b")}, later[0])
            two = Scripted("two", {name: yes(name, "two") for name in "abc"}, later[1])
            subject = chain(verifier, one, two)
            assert await settled(subject.authenticate(attempt("a", b"x"))) == yes("a", "one")
            refused = await settled(subject.authenticate(attempt("b", b"x")))
            assert refused == Refused(BAD, "one: no b")
            assert two.asked == []
            assert await settled(subject.authenticate(attempt("c", b"x"))) == yes("c", "two")
            assert await settled(subject.authenticate(attempt("d", b"x"))) == Refused(
                BAD, "one: never seen; two: never seen"
            )

        asyncio.run(work())

    def test_sources_that_answer_at_once_need_no_task(self, verifier: Verifier):
        one, two = Scripted("one", {}), Scripted("two", {"a": yes("a", "two")})
        subject = chain(verifier, one, two)
        assert at_once(subject, attempt("a", b"x")) == yes("a", "two")
        assert isinstance(at_once(subject, attempt("b", b"x")), Refused)

    def test_every_listener_has_its_own(self, verifier: Verifier):
        one = Scripted("one", {"a": yes("a", "one")})
        two = Scripted("two", {"a": yes("a", "two")})
        subject = chain(verifier, one, two, other=Gate((two,), DENY))
        assert at_once(subject, attempt("a", b"x", listener="other")) == yes("a", "two")
        assert at_once(subject, attempt("a", b"x")) == yes("a", "one")


class TestAnonymousClients:
    @pytest.mark.parametrize(
        ("policy", "address", "admitted"),
        [
            (ALLOW, "192.0.2.7", True),
            (LOOPBACK, HERE, True),
            (LOOPBACK, "192.0.2.7", False),
            (DENY, HERE, False),
            (AUTO, HERE, False),
        ],
    )
    def test_come_in_by_the_policy(self, verifier: Verifier, policy, address, admitted):
        subject = chain(verifier, Scripted("one", {}), anonymous=policy)
        outcome = at_once(subject, attempt(address=address))
        assert isinstance(outcome, Accepted) == admitted
        if isinstance(outcome, Accepted):
            assert (outcome.principal.name, outcome.principal.source) == (None, "")
        else:
            assert outcome.reason_code == BAD
            assert outcome.reason.startswith("one: never seen; anonymous clients are ")

    @pytest.mark.parametrize("who", [("nobody", b"x"), ("nobody", None), (None, b"x")])
    def test_are_not_those_who_offer_a_name_or_a_password(self, verifier: Verifier, who):
        subject = chain(verifier, Scripted("one", {}), anonymous=ALLOW)
        assert at_once(subject, attempt(*who)) == Refused(BAD, "one: never seen")

    @pytest.mark.parametrize(
        ("policy", "address", "admitted"),
        [(AUTO, HERE, True), (AUTO, "192.0.2.7", False), (ALLOW, "192.0.2.7", True)],
    )
    def test_names_mean_nothing_where_nothing_knows_anybody(
        self, verifier: Verifier, policy, address, admitted
    ):
        users = UsersSource("users", verifier)
        for sources in ((users,), ()):
            subject = chain(verifier, *sources, anonymous=policy, users=users)
            outcome = at_once(subject, attempt("admin", b"public", address=address))
            assert isinstance(outcome, Accepted) == admitted
            if isinstance(outcome, Accepted):
                assert outcome.principal.name is None

    def test_the_first_user_shuts_the_door(self, verifier: Verifier):
        users = UsersSource("users", verifier)
        subject = chain(verifier, users, anonymous=AUTO, users=users)
        outcome = at_once(subject, attempt(address=HERE))
        assert isinstance(outcome, Accepted)
        assert subject.still_admits(outcome.principal) is None
        before = subject.generation
        users.prepare([User("ann", cheap("right"))])()
        assert subject.generation > before
        assert isinstance(at_once(subject, attempt(address=HERE)), Refused)
        assert "not let in" in (subject.still_admits(outcome.principal) or "")

    def test_without_any_source_the_operator_reads_why(self, verifier: Verifier):
        subject = chain(verifier, anonymous=DENY)
        refused = at_once(subject, attempt())
        assert isinstance(refused, Refused) and "anonymous: deny" in refused.reason


def test_an_unknown_name_takes_the_work_of_a_known_one(verifier: Verifier):
    async def work() -> None:
        stored = GatedPassword()
        users = UsersSource("users", verifier, [User("ann", stored)])
        for later in (False, True):
            subject = chain(verifier, users, Scripted("two", {}, later), users=users)
            before = len(stored.compared)
            for name in ("ann", "nobody"):
                outcome = await settled(subject.authenticate(attempt(name, b"wrong")))
                assert isinstance(outcome, Refused) and outcome.reason_code == BAD
            assert stored.compared[before:] == [b"wrong", b"wrong"]
            # There is nothing to compare without a password.
            assert isinstance(await settled(subject.authenticate(attempt("nobody"))), Refused)
            assert len(stored.compared) == before + 2

    asyncio.run(work())


def test_too_busy_to_pretend_is_told_alike():
    async def work() -> None:
        verifier = Verifier(FakeClock(), waiting_max=0)
        users = UsersSource("users", verifier, [User("ann", GatedPassword())])
        subject = chain(verifier, users, users=users)
        for name in ("ann", "nobody"):
            outcome = await settled(subject.authenticate(attempt(name, b"x")))
            assert isinstance(outcome, Refused)
            assert outcome.reason_code == ReasonCode.SERVER_BUSY
        verifier.close()

    asyncio.run(work())


class TestEnhancedAuthentication:
    def test_the_methods_are_those_of_all_and_begin_those_of_the_listener(self, verifier: Verifier):
        one = Scripted("one", {}, methods=frozenset({"A", "B"}))
        two = Scripted("two", {}, methods=frozenset({"B", "C"}))
        subject = chain(verifier, one, two, other=Gate((two,), DENY))
        assert subject.methods == {"A", "B", "C"}
        assert subject.begin("B", attempt()) == "one B"
        assert subject.begin("C", attempt()) == "two C"
        assert subject.begin("B", attempt(listener="other")) == "two B"

    def test_a_method_of_another_listener_is_none_here(self, verifier: Verifier):
        async def work() -> None:
            one = Scripted("one", {}, methods=frozenset({"A"}))
            subject = chain(verifier, one, other=Gate((), DENY))
            refused = await subject.begin("A", attempt(listener="other")).step(b"")
            assert isinstance(refused, Refused)
            assert refused.reason_code == ReasonCode.BAD_AUTHENTICATION_METHOD

        asyncio.run(work())


class TestStillAdmits:
    def test_its_source_is_asked(self, verifier: Verifier):
        subject = chain(verifier, Scripted("one", {}), Scripted("two", {}))
        principal = Principal("a", listener="tcp", source="two")
        assert subject.still_admits(principal) == "two was asked"

    @pytest.mark.parametrize(
        "principal", [Principal("a", listener="gone"), Principal("a", listener="tcp", source="x")]
    )
    def test_what_is_gone_admits_nobody(self, verifier: Verifier, principal: Principal):
        assert "any more" in (chain(verifier).still_admits(principal) or "")

    def test_any_source_s_generation_counts(self, verifier: Verifier):
        one, two = Scripted("one", {}), Scripted("two", {})
        subject = chain(verifier, one, other=Gate((two,), DENY))
        seen = {subject.generation}
        for each in (one, two):
            each.generation += 1
            seen.add(subject.generation)
        assert len(seen) == 3


def test_sources_start_and_stop_once(verifier: Verifier):
    async def work() -> None:
        one = Scripted("one", {})
        subject = chain(verifier, one, other=Gate((one,), DENY))
        await subject.start()
        await subject.stop()
        assert one.running == ["start", "stop"]

    asyncio.run(work())
