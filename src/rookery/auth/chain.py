"""The chain: per listener an order of sources, of which the first that knows a client decides.

A client that no source knows may come in as an anonymous one, if it offers no name and no password and the
listener's policy has it so. Who offers them is refused: a slip in a name must not end in the anonymous
client's rights. Only where nothing can know anybody, because there are no users and no other source, they mean
nothing and are passed over.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Final

from rookery.auth.anonymous import AUTO, DENY, LOOPBACK, admitted, why_not
from rookery.auth.source import NotKnown, Source, Verdict
from rookery.auth.users import UsersSource
from rookery.auth.verifier import Verifier
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, Challenge, Exchange, Principal, Refused

NO_SOURCE: Final = "no source is asked on this listener"


class Gate:
    """What one listener asks of its clients."""

    def __init__(self, sources: Sequence[Source], anonymous: str) -> None:
        self.sources: tuple[Source, ...] = tuple(sources)
        self.anonymous = anonymous
        self.methods: dict[str, Source] = {}
        for source in self.sources:
            for method in source.methods:
                self.methods.setdefault(method, source)


class NoExchange:
    """The exchange of a method that another listener has, and this one has not."""

    def __init__(self, method: str, listener: str) -> None:
        self._reason = f"no authentication method {method!r} on listener {listener!r}"

    async def step(self, data: bytes | None) -> Accepted | Refused | Challenge:
        """Refuse. [MQTT-4.12.0-1]"""
        return Refused(ReasonCode.BAD_AUTHENTICATION_METHOD, self._reason)


class Chain:
    """The ``Authenticator`` of a node. ``gates`` are by the names of the listeners."""

    def __init__(self, gates: Mapping[str, Gate], users: UsersSource, verifier: Verifier) -> None:
        self._gates: dict[str, Gate] = dict(gates)
        self._users = users
        self._verifier = verifier
        self._sources: list[Source] = []
        self._methods: frozenset[str] = frozenset()
        for gate in self._gates.values():
            self._sources += [each for each in gate.sources if each not in self._sources]
            self._methods |= frozenset(gate.methods)
        # Listed nowhere, it still tells that there are users now.
        self._told: list[Source] = [*self._sources]
        if users not in self._told:
            self._told.append(users)

    @property
    def methods(self) -> frozenset[str]:
        """The methods of all listeners together; ``begin`` knows which has which."""
        return self._methods

    @property
    def generation(self) -> int:
        """Rises when one of the sources may not let in any more whom it let in."""
        total = 0
        for source in self._told:
            total += source.generation
        return total

    def authenticate(self, attempt: Attempt) -> Accepted | Refused | Awaitable[Accepted | Refused]:
        """Ask one source after the other; at once as long as none has to wait."""
        gate = self._gates[attempt.listener]
        reasons: list[str] = []
        for place, source in enumerate(gate.sources):
            verdict = source.authenticate(attempt)
            if isinstance(verdict, NotKnown):
                reasons.append(f"{source.name}: {verdict.reason}")
            elif isinstance(verdict, Accepted):
                return verdict
            elif isinstance(verdict, Refused):
                return _told_by(source, verdict)
            else:
                return self._go_on(gate, attempt, place + 1, verdict, reasons)
        outcome = self._unknown(gate, attempt, reasons)
        if isinstance(outcome, Refused):
            return self._refuse(attempt, outcome)
        return outcome

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Begin an exchange with the first source of the listener that has the method."""
        source = self._gates[attempt.listener].methods.get(method)
        if source is None:
            return NoExchange(method, attempt.listener)
        return source.begin(method, attempt)

    def still_admits(self, principal: Principal) -> str | None:
        """Ask the source that let it in; of an anonymous client the policy of its listener."""
        gate = self._gates.get(principal.listener)
        if gate is None:
            return f"there is no listener {principal.listener!r} any more"
        if not principal.source:
            return why_not(self._policy(gate), principal.address)
        for source in gate.sources:
            if source.name == principal.source:
                return source.still_admits(principal)
        return f"{principal.source} is not asked on listener {principal.listener!r} any more"

    async def start(self) -> None:
        """Start every source."""
        for source in self._sources:
            await source.start()

    async def stop(self) -> None:
        """Stop every source, and the comparisons still waiting."""
        for source in self._sources:
            await source.stop()
        self._verifier.close()

    async def _go_on(
        self,
        gate: Gate,
        attempt: Attempt,
        place: int,
        waiting: Awaitable[Verdict],
        reasons: list[str],
    ) -> Accepted | Refused:
        """The rest of the chain, from a source on that has to wait."""
        verdict = await waiting
        source = gate.sources[place - 1]
        while isinstance(verdict, NotKnown):
            reasons.append(f"{source.name}: {verdict.reason}")
            if place == len(gate.sources):
                outcome = self._unknown(gate, attempt, reasons)
                if isinstance(outcome, Refused):
                    return await self._refuse_later(attempt, outcome)
                return outcome
            source = gate.sources[place]
            place += 1
            found = source.authenticate(attempt)
            if isinstance(found, (Accepted, Refused, NotKnown)):
                verdict = found
            else:
                verdict = await found
        return verdict if isinstance(verdict, Accepted) else _told_by(source, verdict)

    def _unknown(self, gate: Gate, attempt: Attempt, reasons: list[str]) -> Accepted | Refused:
        """No source knows the client."""
        offers = attempt.username is not None or attempt.password is not None
        if not offers or self._knows_nobody(gate):
            reason = why_not(self._policy(gate), attempt.address)
            if reason is None:
                return admitted(attempt)
            reasons.append(reason)
        return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "; ".join(reasons) or NO_SOURCE)

    def _refuse(
        self, attempt: Attempt, refused: Refused
    ) -> Refused | Awaitable[Accepted | Refused]:
        """Refuse, after the work that a known name would have taken."""
        name, password = attempt.username, attempt.password
        if name is None or password is None:
            return refused
        working = self._verifier.pretend(name, password)
        return refused if working is None else _after(working, refused)

    async def _refuse_later(self, attempt: Attempt, refused: Refused) -> Accepted | Refused:
        found = self._refuse(attempt, refused)
        return found if isinstance(found, Refused) else await found

    def _knows_nobody(self, gate: Gate) -> bool:
        for source in gate.sources:
            if source is not self._users:
                return False
        return not gate.sources or self._users.count == 0

    def _policy(self, gate: Gate) -> str:
        if gate.anonymous != AUTO:
            return gate.anonymous
        return LOOPBACK if self._knows_nobody(gate) else DENY


async def _after(working: Awaitable[bool | Refused], refused: Refused) -> Accepted | Refused:
    outcome = await working
    return outcome if isinstance(outcome, Refused) else refused


def _told_by(source: Source, refused: Refused) -> Refused:
    return Refused(refused.reason_code, f"{source.name}: {refused.reason}")
