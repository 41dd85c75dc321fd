"""A run: rounds of traffic, kill and restart, and every few rounds a reckoning.

In a round the clients connect, publish, receive, leave and return as its plan says, until the broker is
killed. It is started again at once; the retained messages are compared, and the next round begins. At a
reckoning everyone is connected and nobody publishes anything new, until all that is owed has come or
nothing comes any more; then the ledger says what is missing.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.crash.broker import BrokerFault, BrokerProcess, retained
from tests.crash.clients import Brief, Client, Mortal, Publisher, Subscriber
from tests.crash.links import Links
from tests.crash.plan import WILL_DELAY_SECONDS, Churn, Death, Plan, chance_of, plan_of
from tests.support import wire
from tests.support.ledger import Counts, Ledger, Moment

RARE: Final = ("a1", "a2")
"""Sessions that are mostly away: what is lost of the last moment before a kill, they miss."""
TURN_SECONDS: Final = 0.005
QUIET_SECONDS_MAX: Final = 8.0
"""What is owed counts as lost when nothing has come for so long."""
ANSWER_SECONDS_MAX: Final = 10.0
BROKEN_SECONDS_MAX: Final = 1.5
"""How long a run that has failed already waits, so that the account is complete enough."""
GOODBYE_SECONDS_MIN: Final = 0.25
"""A DISCONNECT has no acknowledgement, so one shortly before the kill may not have counted."""
RETURN_MARGIN_SECONDS: Final = 2.0
"""A client back so long before its will is due is back in time beyond doubt."""


@dataclass
class Outcome:
    """What one round came to."""

    plan: Plan
    restart_seconds: float
    counts: Counts
    """Of the run so far."""


class Run:
    """The clients, their ledger and their broker."""

    def __init__(self, broker: BrokerProcess, seed: int, began: float) -> None:
        self.ledger = Ledger()
        self._broker = broker
        self._seed = seed
        self._began = began
        self._links = Links(broker.address)
        self._publishers = [
            Publisher(self._links, self.ledger, "p1", wire.V5, window=200, topics=3),
            Publisher(self._links, self.ledger, "p2", wire.V3_1_1, window=20, topics=1),
            Publisher(self._links, self.ledger, "p3", wire.V5, window=4, topics=2),
            Publisher(self._links, self.ledger, "p4", wire.V3_1_1, window=1, topics=1),
        ]
        self._subscribers = [
            self._subscriber("s1", wire.V5, "load/#", 2, identifier=268_435_455),
            self._subscriber("s2", wire.V3_1_1, "load/#", 1),
            self._subscriber("s3", wire.V5, "load/p1/+", 1, identifier=3, late_seconds=0.05),
            self._subscriber("s4", wire.V3_1_1, "load/p1/0", 2, late_seconds=0.2),
            self._subscriber("s5", wire.V3_1, "load/+/0", 2),
            self._subscriber("s6", wire.V5, "load/p3/1", 2),
            self._subscriber("g1", wire.V5, "$share/g/load/+/0", 2, identifier=7),
            self._subscriber("g2", wire.V5, "$share/g/load/+/0", 2, identifier=7),
            self._subscriber("g3", wire.V5, "$share/g/load/+/0", 2, identifier=7, late_seconds=0.1),
            self._subscriber("a1", wire.V5, "load/#", 2, identifier=11),
            self._subscriber("a2", wire.V3_1_1, "load/#", 1),
            self._subscriber("w1", wire.V5, "wills/#", 2),
            self._subscriber("w2", wire.V3_1_1, "wills/+", 1),
        ]
        self._visitors: list[Subscriber] = []
        self._mortals: list[Mortal] = []
        self._briefs: dict[Brief, float] = {}
        """The sessions that are to expire or not, and when the kill ended their links."""
        self.restarts_seconds: list[float] = []

    def _subscriber(
        self,
        name: str,
        version: int,
        topic_filter: str,
        qos: int,
        identifier: int = 0,
        late_seconds: float = 0.0,
    ) -> Subscriber:
        return Subscriber(
            self._links, self.ledger, name, version, topic_filter, qos, identifier, late_seconds
        )

    def close(self) -> None:
        """Let go of everything but the files."""
        self._links.close()
        self._broker.close()

    # Rounds

    def begin(self) -> None:
        """Start the broker and let every session begin."""
        self._broker.start()
        self._broker.connect("probe").disconnect()
        for client in self._clients():
            client.connect()
        self._until(lambda: all(each.attached for each in self._clients()), "CONNACK for everyone")
        self._until(lambda: all(each.subscribed for each in self._subscribers), "every SUBACK")

    def round(self, number: int) -> Outcome:
        """Traffic until the kill, and the start after it."""
        names = [[each.name for each in some] for some in (self._publishers, self._subscribers)]
        plan = plan_of(self._seed, number, *names, RARE)
        self._note_time(number)
        for publisher in self._publishers:
            publisher.chance = chance_of(self._seed, number, publisher.name)
            publisher.publishing = True
        self._follow(plan)
        killed_at = self._kill()
        restart_seconds = self._restart(plan)
        self._decide_wills(killed_at)
        self._check_log()
        return Outcome(plan, restart_seconds, self.ledger.counts)

    def _follow(self, plan: Plan) -> None:
        """Do what the plan says, when it says so, until the kill."""
        begin = time.monotonic()
        agenda = sorted(self._agenda(plan), key=lambda entry: entry[0], reverse=True)
        while (elapsed := time.monotonic() - begin) < plan.kill_seconds:
            while agenda and agenda[-1][0] <= elapsed:
                agenda.pop()[1]()
            upcoming = min([plan.kill_seconds, *(entry[0] for entry in agenda[-1:])])
            self._turn(min(TURN_SECONDS, upcoming - elapsed))

    def _agenda(self, plan: Plan) -> list[tuple[float, Callable[[], None]]]:
        by_name: dict[str, Client] = {each.name: each for each in self._clients()}
        agenda: list[tuple[float, Callable[[], None]]] = []
        for client in by_name.values():
            if client.name not in plan.attaching:
                client.close()
        agenda += [(0.0, lambda each=by_name[name]: _attach(each)) for name in plan.attaching]
        for churn in plan.churn:
            agenda += _absence(by_name[churn.name], churn)
        for death in plan.deaths:
            agenda += self._life(death)
        brief = Brief(self._links, self.ledger, f"e{plan.number}", plan.brief_expiry_seconds)
        self._briefs[brief] = math.inf
        agenda.append((0.0, brief.connect))
        if plan.visitor_seconds is not None:
            visitor = self._subscriber(f"v{plan.number}", wire.V5, "load/#", 2, identifier=9)
            self._visitors.append(visitor)
            agenda.append((plan.visitor_seconds, visitor.connect))
        return agenda

    def _life(self, death: Death) -> list[tuple[float, Callable[[], None]]]:
        """When a client with a will comes and, if it does not die in the crash, goes."""
        delay_seconds = WILL_DELAY_SECONDS[death.fate]
        mortal = Mortal(self._links, self.ledger, death.name, death.fate, death.qos, delay_seconds)
        self._mortals.append(mortal)
        agenda: list[tuple[float, Callable[[], None]]] = [(death.connects_seconds, mortal.arm)]
        if death.fate == "early":
            agenda.append((death.leaves_seconds, mortal.close))
        elif death.fate == "goodbye":
            agenda.append((death.leaves_seconds, mortal.disconnect))
        return agenda

    def _kill(self) -> float:
        """SIGKILL, and read what it said until then."""
        self._broker.expect_alive()
        for client in self._everyone():
            client.expects_end = True
        self._broker.kill()
        killed_at = time.monotonic()
        self._briefs = {each: min(at, killed_at) for each, at in self._briefs.items()}
        self._note_time()
        self._links.drain_dead()
        return killed_at

    def _restart(self, plan: Plan) -> float:
        """Start it, perhaps killing it once more meanwhile; the seconds until its first CONNACK."""
        self._broker.start()
        if plan.startup_kill_seconds is not None:
            time.sleep(plan.startup_kill_seconds)
            self._broker.expect_alive()
            self._broker.kill()
            self._broker.start()
        began = time.monotonic()
        with self._broker.connect("probe") as probe:
            restart_seconds = time.monotonic() - began
            self.ledger.restarts += 1
            self._note_time()
            self.restarts_seconds.append(restart_seconds)
            found = retained(probe, "state/#", self.ledger.retained_owed())
            self.ledger.check_retained(found)
            probe.disconnect()
        return restart_seconds

    def _decide_wills(self, killed_at: float) -> None:
        """Which wills are owed, which must not come, and who is back."""
        for mortal in self._mortals:
            if not mortal.armed:
                continue  # Nobody can say whether the broker had taken it.
            if mortal.fate in ("away", "early"):
                self.ledger.acknowledged(mortal.stream, 1)
            elif mortal.fate == "goodbye":
                if mortal.gone_at is None:
                    continue
                if killed_at - mortal.gone_at > GOODBYE_SECONDS_MIN:
                    self.ledger.forbid(mortal.stream, 1, "its client had said goodbye")
            else:
                self._return(mortal, killed_at)
        self._mortals.clear()

    def _return(self, mortal: Mortal, killed_at: float) -> None:
        """A client comes back before its will is due, and ends its session."""
        mortal.connect()
        self._until(lambda: mortal.attached, f"CONNACK for {mortal.name}")
        if time.monotonic() - killed_at < mortal.delay_seconds - RETURN_MARGIN_SECONDS:
            self.ledger.forbid(mortal.stream, 1, "its client was back before the delay was over")
        mortal.disconnect({"session_expiry": 0})
        self._until(lambda: mortal.link is None, f"the end of {mortal.name}")

    # The reckoning

    def reckon(self) -> None:
        """Bring everyone back, wait for what is owed, and say what is missing."""
        for publisher in self._publishers:
            publisher.publishing = False
        for client in (*self._clients(), *self._visitors):
            _attach(client)
        self._return_briefs()
        complete = self._wait_for_the_owed()
        self._settle_down()
        self.ledger.violations += self.ledger.lost()
        for publisher in self._publishers:
            for packet_id, exchange in publisher.inflight.items():
                self.ledger.violation(
                    "unanswered",
                    f"{publisher.name} has no answer to message {exchange.number} to "
                    f"{exchange.stream.topic} at QoS {exchange.stream.qos}, packet identifier "
                    f"{packet_id}.",
                )
        if complete:
            self.ledger.settle()
        for visitor in self._visitors:
            visitor.disconnect({"session_expiry": 0})
            self._until(lambda each=visitor: each.link is None, f"the end of {visitor.name}")
            if visitor.subscribed:
                self.ledger.ended(visitor.name)
        self._visitors.clear()
        self._check_log()

    def _return_briefs(self) -> None:
        """The time the node was down counts like any other: what was to expire is gone, the rest is there."""
        for brief, killed_at in self._briefs.items():
            brief.return_after(time.monotonic() - killed_at)
            self._until(lambda each=brief: each.attached, f"CONNACK for {brief.name}")
            brief.disconnect({"session_expiry": 0})
            self._until(lambda each=brief: each.link is None, f"the end of {brief.name}")
        self._briefs.clear()

    def _wait_for_the_owed(self) -> bool:
        """Whether everything came."""
        counts = self.ledger.counts
        state, since = (0, 0), time.monotonic()
        while True:
            self._turn(TURN_SECONDS)
            now = time.monotonic()
            if (counts.arrived, counts.acknowledged) != state:
                state, since = (counts.arrived, counts.acknowledged), now
                if now - since < 0.05:
                    continue
            unanswered = any(each.inflight for each in self._publishers)
            if not unanswered and not self.ledger.owed():
                return True
            if now - since > self._patience(QUIET_SECONDS_MAX):
                return False

    def _settle_down(self) -> None:
        """Let the last acknowledgements go out, and whatever should not come, come."""
        subscribers = [each for each in (*self._subscribers, *self._visitors) if each.attached]
        for _ in range(2):
            if not self._within(lambda: not any(each.busy for each in subscribers)):
                for subscriber in subscribers:
                    if subscriber.busy:
                        text = f"{subscriber.name} waits in vain for PUBREL ({self.ledger.moment})."
                        self.ledger.violation("release", text)
            for subscriber in subscribers:
                subscriber.ping()
            self._until(lambda: not any(each.pinged for each in subscribers), "every PINGRESP")

    def stop(self) -> None:
        """Stop the broker in good order."""
        for client in self._everyone():
            client.expects_end = True
            client.close()
        code = self._broker.stop()
        if code != 0:
            self.ledger.violation("exit", f"The broker ended with {code} after SIGTERM.")
        self._check_log()

    # Turns

    def _clients(self) -> list[Client]:
        return [*self._publishers, *self._subscribers]

    def _everyone(self) -> list[Client]:
        return [*self._clients(), *self._visitors, *self._mortals, *self._briefs]

    def _turn(self, seconds_max: float) -> None:
        self._note_time()
        now = time.monotonic()
        for client in self._everyone():
            client.step(now)
        self._links.turn(seconds_max)

    def _within(self, there: Callable[[], bool]) -> bool:
        """Whether it is there before the time for an answer is over."""
        deadline = time.monotonic() + self._patience(ANSWER_SECONDS_MAX)
        while not there():
            if time.monotonic() > deadline:
                self._broker.expect_alive()
                return False
            self._turn(TURN_SECONDS)
        return True

    def _patience(self, seconds: float) -> float:
        return BROKEN_SECONDS_MAX if self.ledger.violations else seconds

    def _until(self, there: Callable[[], bool], what: str) -> None:
        if not self._within(there):
            raise BrokerFault(f"{what} did not come within {ANSWER_SECONDS_MAX} s")

    def _note_time(self, number: int | None = None) -> None:
        current = self.ledger.moment.round if number is None else number
        self.ledger.moment = Moment(current, time.monotonic() - self._began)

    def _check_log(self) -> None:
        for line in self._broker.faults_logged():
            self.ledger.violation("log", f"The broker logged: {line}")


def _attach(client: Client) -> None:
    if client.link is None:
        client.connect()


def _absence(client: Client, churn: Churn) -> list[tuple[float, Callable[[], None]]]:
    """A client leaves and returns."""

    def come_back() -> None:
        client.close()
        client.connect()

    leave = client.disconnect if churn.politely else client.close
    return [(churn.leaves_seconds, leave), (churn.returns_seconds, come_back)]
