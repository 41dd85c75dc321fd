"""What must hold of a history, whatever was done to the cluster: each promise a function of its own.

Each returns the violations it finds, with what a person needs to follow it; nothing here knows sockets or time.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

from tests.cluster.history import Arrival, Fault, History, Life, Sending
from tests.support.ledger import Violation, named_in

HANDOVER_SECONDS_MAX: Final = 0.25
"""How long what a node said before it lost a session may be on its way to us: the load runs in one loop with
everything else, so this is its own lateness. What comes later was said by somebody who is no owner."""
WILL_SECONDS_MAX: Final = 10.0
SHOWN_MAX: Final = 5


def lost(history: History) -> list[Violation]:
    """Acknowledged, and never arrived in a session that was owed it."""
    return [
        Violation("lost", _account(history, session, sending))
        for session, sending in history.owed(history.messages.values())
    ]


def unknown(history: History) -> list[Violation]:
    """Arrivals of what nobody sent."""
    return [Violation("unknown", f"{session} got {what}.") for session, what in history.unknown]


def twice(history: History) -> list[Violation]:
    """A message at QoS 2 arrived a second time in one session."""
    return [
        Violation(
            "twice",
            f"{name(again)} came to {session} at {again.at:.3f} s by {again.node} again; first at "
            f"{first.at:.3f} s by {first.node}{_resent(history, again)}.",
        )
        for session, first, again in _repetitions(history)
        if again.qos == 2
    ]


def repeated(history: History) -> list[Violation]:
    """A message at QoS 1 arrived again, and nothing explains it: no resend, no new link, no fault."""
    found = []
    for session, first, again in _repetitions(history):
        sending = history.messages.get(again.key)
        explained = (
            again.dup
            or first.life != again.life
            or (sending is not None and bool(sending.resent_at))
            or any(fault.covers(first.at) or fault.covers(again.at) for fault in history.faults)
        )
        if again.qos == 1 and not explained:
            text = f"{name(again)} came to {session} at {first.at:.3f} s and {again.at:.3f} s, without a cause"
            found.append(Violation("repeated", f"{text}."))
    return found


def repetitions(history: History) -> list[int]:
    """How many arrivals were not the first of their message, by QoS."""
    counts = [0, 0, 0]
    for _, _, again in _repetitions(history):
        counts[again.qos] += 1
    return counts


def disorder(history: History) -> list[Violation]:
    """Of one publisher, topic name and QoS, a message arrived after a later one."""
    found = []
    for session, arrivals in history.arrivals.items():
        highest: dict[object, Arrival] = {}
        seen = set()
        for arrival in arrivals:
            if arrival.key in seen:
                continue
            seen.add(arrival.key)
            before = highest.get(arrival.stream)
            if before is not None and before.number > arrival.number:
                text = (
                    f"{name(arrival)} came to {session} at {arrival.at:.3f} s by {arrival.node} after number "
                    f"{before.number}, which came at {before.at:.3f} s by {before.node}"
                )
                found.append(Violation("order", f"{text}{_resent(history, arrival)}."))
            else:
                highest[arrival.stream] = arrival
    return found


def unanswered(history: History, publishers: Iterable[str]) -> list[Violation]:
    """A publisher waits for an answer still, when all is over."""
    waiting = set(publishers)
    return [
        Violation(
            "unanswered",
            f"{name(each)}, sent to {each.node} at {each.sent_at:.3f} s and {len(each.resent_at)} times more.",
        )
        for each in history.messages.values()
        if each.acknowledged_at is None and not each.refused and each.stream.publisher in waiting
    ]


def sessions_lost(history: History) -> list[Violation]:
    """A client came back and its session was not there."""
    return [
        Violation(
            "session",
            f"{life.client} came to {life.node} at {life.opened_at:.3f} s and its session was not there; before it "
            f"was at {_before(history, life)}.",
        )
        for life in history.lives
        if life.expects_session and not life.session_present
    ]


def two_owners(history: History) -> list[Violation]:
    """A link was served although the same client id had been let in on a later one.

    An old link that merely stays open shows nothing: a node that is frozen or cut off cannot close it. So what
    counts is what a node says on it: an acknowledgement, a message, an answer to a CONNECT.
    """
    found = []
    by_client: dict[str, list[Life]] = {}
    for life in history.lives:
        by_client.setdefault(life.client, []).append(life)
    for sign in history.signs:
        own = history.lives[sign.life]
        later = [each for each in by_client[sign.client] if each.opened_at > own.opened_at]
        for each in later:
            if sign.at > each.opened_at + HANDOVER_SECONDS_MAX:
                text = (
                    f"{own.node} served {sign.client} ({sign.what}) at {sign.at:.3f} s on a link of "
                    f"{own.opened_at:.3f} s, though {each.node} had let it in at {each.opened_at:.3f} s"
                )
                found.append(Violation("owners", f"{text}."))
                break
    return found


def two_links(history: History, faults: Iterable[Fault]) -> list[Violation]:
    """Two links of a client id were open at once for longer than a handover takes, with no fault to explain it."""
    found = []
    explained = list(faults)
    by_client: dict[str, list[Life]] = {}
    for life in history.lives:
        by_client.setdefault(life.client, []).append(life)
    for lives in by_client.values():
        for older, newer in itertools.pairwise(lives):
            end = older.ended_at
            if end is not None and end <= newer.opened_at + HANDOVER_SECONDS_MAX:
                continue
            if any(fault.covers(newer.opened_at) for fault in explained):
                continue
            text = (
                f"{older.client} had a link to {older.node} until {_time(end)} and another to {newer.node} from "
                f"{newer.opened_at:.3f} s on"
            )
            found.append(Violation("links", f"{text}."))
    return found


def wills(history: History, watchers: Iterable[str], until: float) -> list[Violation]:
    """Each will of the dead came once to every watcher, in time, and none of the living came at all."""
    found = []
    for watcher in watchers:
        came: dict[str, list[Arrival]] = {}
        for arrival in history.arrivals.get(watcher, ()):
            came.setdefault(arrival.stream.topic, []).append(arrival)
        for each in history.last_wills.values():
            at = [arrival.at for arrival in came.get(each.topic, ())]
            times = ", ".join(f"{one:.3f} s" for one in at) or "never"
            fate = f"which died at {_time(each.died_at)} on {each.node}, came to {watcher} {times}"
            if each.harmless:
                if len(at) > 1:
                    found.append(
                        Violation("will twice", f"The will of {each.client} came {times}.")
                    )
            elif each.died_at is None:
                if at:
                    text = f"The will of {each.client}, which lives on {each.node}, came {times}."
                    found.append(Violation("will of the living", text))
            elif len(at) > 1:
                found.append(Violation("will twice", f"The will of {each.client}, {fate}."))
            elif not at and until > each.died_at + WILL_SECONDS_MAX:
                found.append(Violation("will missing", f"The will of {each.client}, {fate}."))
            elif at and at[0] > each.died_at + WILL_SECONDS_MAX:
                found.append(Violation("will late", f"The will of {each.client}, {fate}."))
    return found


def minority(history: History, nodes: Iterable[str], begin: float, end: float) -> list[Violation]:
    """Nodes without a majority acknowledged something durable, or let somebody in."""
    alone = set(nodes)
    found = []
    for each in history.messages.values():
        at = each.acknowledged_at
        if at is None or not each.durable or each.acknowledged_by not in alone:
            continue
        if begin <= at <= end:
            text = f"{each.acknowledged_by} acknowledged {name(each)} at {at:.3f} s"
            found.append(Violation("minority", f"{text}, cut off since before {begin:.3f} s."))
    for life in history.lives:
        if life.node in alone and begin <= life.opened_at <= end:
            text = f"{life.node} let {life.client} in at {life.opened_at:.3f} s"
            found.append(Violation("minority", f"{text}, cut off since before {begin:.3f} s."))
    return found


def retained(
    history: History, found: Mapping[str, Mapping[str, bytes]], alone: Iterable[str] = ()
) -> list[Violation]:
    """All nodes keep the same retained messages: of each topic the last acknowledged one, or a later one.

    Topics in ``alone`` are written by several publishers, so that only agreement can be asked for.
    """
    violations = []
    last: dict[str, int] = {}
    retaining = {each.stream.topic for each in history.messages.values() if each.retain}
    for each in history.messages.values():
        if each.retain and each.acknowledged_at is not None and not each.refused:
            last[each.stream.topic] = max(last.get(each.stream.topic, 0), each.number)
    several = set(alone)
    for topic in sorted(retaining):
        held = {node: topics.get(topic) for node, topics in found.items()}
        said = {node: _short(topic, payload) for node, payload in held.items()}
        if len(set(held.values())) > 1:
            violations.append(Violation("retained", f"Nodes differ on {topic}: {said}."))
            continue
        if topic in several:
            continue
        for node, payload in held.items():
            named = named_in(topic, payload or b"")
            if topic in last and (named is None or named[1] < last[topic]):
                text = f"{node} keeps {said[node]} on {topic}, though number {last[topic]} was acknowledged"
                violations.append(Violation("retained", f"{text}."))
                break
    return violations


def name(each: Sending | Arrival) -> str:
    """A message in words."""
    stream = each.stream
    return f"message {each.number} of {stream.publisher} to {stream.topic} at QoS {stream.qos}"


def _repetitions(history: History) -> Iterable[tuple[str, Arrival, Arrival]]:
    for session, arrivals in history.arrivals.items():
        first: dict[object, Arrival] = {}
        for arrival in arrivals:
            before = first.setdefault(arrival.key, arrival)
            if before is not arrival:
                yield session, before, arrival


def _account(history: History, session: str, sending: Sending) -> str:
    seen = [
        other
        for other in history.interested(sending.stream.topic)
        if sending.key in history.seen.get(other, ())
    ]
    places = " ".join(
        f"{life.node}@{life.opened_at:.1f}-{_time(life.ended_at)}"
        for life in history.lives_of(session)[-4:]
    )
    assert sending.acknowledged_at is not None
    resent = ", ".join(f"{at:.3f}" for at in sending.resent_at) or "never"
    return (
        f"{name(sending)} did not come to {session}. Sent to {sending.node} at {sending.sent_at:.3f} s, again "
        f"{resent}, acknowledged by {sending.acknowledged_by} at {sending.acknowledged_at:.3f} s. It came to "
        f"{', '.join(seen[:SHOWN_MAX]) or 'nobody'}{' and others' if len(seen) > SHOWN_MAX else ''}. Links of "
        f"{session}: {places}."
    )


def _resent(history: History, each: Arrival) -> str:
    sending = history.messages.get(each.key)
    if sending is None or not sending.resent_at:
        return ""
    return (
        f" (sent again by its publisher at {', '.join(f'{at:.3f} s' for at in sending.resent_at)})"
    )


def _before(history: History, life: Life) -> str:
    before = [each for each in history.lives_of(life.client) if each.serial < life.serial]
    if not before:
        return "none"
    last = before[-1]
    return f"{last.node} until {_time(last.ended_at)} ({last.end})"


def _time(at: float | None) -> str:
    return "the end" if at is None else f"{at:.3f} s"


def _short(topic: str, payload: bytes | None) -> str:
    if payload is None:
        return "nothing"
    named = named_in(topic, payload)
    return repr(payload[:40]) if named is None else f"{named[0].publisher} {named[1]}"
