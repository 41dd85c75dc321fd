"""A real slapd decides who is let in, goes away and comes back."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from rookery.auth.breaker import Breaker
from rookery.auth.ldap import LdapRules, LdapSource
from rookery.auth.ldap_directory import Directory, DirectorySettings
from rookery.auth.source import NotKnown
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Refused
from tests.support.certificates import make_certificates
from tests.support.slapd import PEOPLE, Slapd, slapd
from tests.support.sources import TurnedClock, accepted, attempt, refusal, verdict_of

ANN = attempt("ann", "ann-secret")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    made = make_certificates(tmp_path_factory.mktemp("certificates"))
    with slapd(tmp_path_factory.mktemp("slapd"), made.ca, made.server) as running:
        yield running


def with_source(
    server: Slapd,
    work: Callable[[LdapSource, TurnedClock], Awaitable[None]],
    *,
    remember_seconds: float = 0.0,
    failures_max: int = 5,
    settings: dict[str, Any] | None = None,
    **rules: Any,
) -> None:
    async def main() -> None:
        clock = TurnedClock()
        given = {
            "host": "127.0.0.1",
            "port": server.port,
            "timeout_seconds": 2,
            "bind_dn": "cn=service,dc=example,dc=org",
            "bind_password": "service-secret",
            "base": PEOPLE,
            "filter": "(uid=${username})",
            "groups_attribute": "memberOf",
            **(settings or {}),
        }
        source = LdapSource(
            Directory(DirectorySettings(**given), None),
            clock,
            Breaker("ldap", clock, failures_max, 10),
            LdapRules(**rules),
            remember_seconds,
        )
        await source.start()
        try:
            await work(source, clock)
        finally:
            await source.stop()

    asyncio.run(main())


def test_who_is_let_in_and_what_is_known_of_them(server):
    async def work(source: LdapSource, clock: TurnedClock) -> None:
        principal = (await accepted(source, attempt("ANN", "ann-secret"))).principal
        assert (principal.name, principal.source, principal.client_id) == ("ann", "ldap", "c1")
        assert principal.groups == {"admins", "plant, north"}
        assert principal.superuser
        assert principal.attributes == {"ldap.dn": f"uid=ann,{PEOPLE}"}
        principal = (await accepted(source, attempt("bob", "bob-secret"))).principal
        assert (principal.groups, principal.superuser) == ({"plant, north"}, False)

    with_source(server, work, superuser_group="admins")


def test_groups_by_their_whole_names(server):
    async def work(source: LdapSource, clock: TurnedClock) -> None:
        principal = (await accepted(source, attempt("bob", "bob-secret"))).principal
        assert principal.groups == {"cn=plant\\2C north,ou=groups,dc=example,dc=org"}
        assert not principal.superuser

    with_source(server, work, group_names="dn")


def test_who_is_not(server):
    async def work(source: LdapSource, clock: TurnedClock) -> None:
        for wrong in (attempt("ann", "bob-secret"), attempt("ann", b"\xff")):
            verdict = await verdict_of(source, wrong)
            assert isinstance(verdict, Refused)
            assert verdict.reason_code == ReasonCode.BAD_USER_NAME_OR_PASSWORD
        # An empty password would be an anonymous bind, which succeeds for every name.
        for unknown in (("eve", "x"), (None, "x"), ("", "x"), ("ann", None), ("ann", "")):
            assert isinstance(await verdict_of(source, attempt(*unknown)), NotKnown), unknown

    with_source(server, work)


def test_what_a_filter_needs_must_be_said(server):
    async def work(source: LdapSource, clock: TurnedClock) -> None:
        assert "cert_subject" in await refusal(source, ANN)

    with_source(server, work, settings={"filter": "(uid=${cert_subject})"})


def test_a_crowd(server):
    async def work(source: LdapSource, clock: TurnedClock) -> None:
        crowd = [verdict_of(source, attempt("ann", "ann-secret")) for _ in range(12)]
        verdicts = await asyncio.gather(*crowd)
        busy = [each for each in verdicts if isinstance(each, Refused)]
        assert [each.reason_code for each in busy] == [ReasonCode.SERVER_BUSY] * 2
        assert sum(isinstance(each, Accepted) for each in verdicts) == 10

    with_source(server, work, waiting_max=10, connections_max=2)


class TestAServerThatIsAway:
    def away(self, server: Slapd, work: Any, **settings: Any) -> None:
        server.stop()
        try:
            with_source(server, work, **settings)
        finally:
            if server.process is None:
                server.start()

    @pytest.mark.parametrize("on_error", ["deny", "ignore"])
    def test_is_left_alone_and_asked_again(self, server, on_error):
        async def work(source: LdapSource, clock: TurnedClock) -> None:
            for words in ("", "", "left alone", "left alone"):
                verdict = await verdict_of(source, ANN)
                assert isinstance(verdict, Refused if on_error == "deny" else NotKnown)
                assert words in verdict.reason
                if isinstance(verdict, Refused):
                    assert verdict.reason_code == ReasonCode.SERVER_UNAVAILABLE
            server.start()
            assert not isinstance(await verdict_of(source, ANN), Accepted)
            clock.now += 10
            await accepted(source, ANN)
            await accepted(source, ANN)

        self.away(server, work, failures_max=2, on_error=on_error)

    def test_does_not_hold_up_a_crowd(self, server):
        async def work(source: LdapSource, clock: TurnedClock) -> None:
            verdicts = await asyncio.gather(*(verdict_of(source, ANN) for _ in range(10)))
            alone = [each for each in verdicts if "left alone" in str(each)]
            assert len(alone) == 8

        self.away(server, work, failures_max=2, connections_max=1)


def test_what_succeeded_is_remembered_for_a_while(server):
    async def work(source: LdapSource, clock: TurnedClock) -> None:
        await accepted(source, ANN)
        server.stop()
        try:
            found = source.authenticate(ANN)
            assert isinstance(found, Accepted)
            assert found.principal.name == "ann"
            clock.now += 61
            assert isinstance(await verdict_of(source, ANN), Refused)
        finally:
            server.start()

    with_source(server, work, remember_seconds=60)


def test_the_rest_of_a_source(server):
    async def work(source: LdapSource, clock: TurnedClock) -> None:
        good = await accepted(source, ANN)
        assert (source.generation, source.still_admits(good.principal)) == (0, None)
        with pytest.raises(ValueError, match="X"):
            source.begin("X", attempt())

    with_source(server, work)
