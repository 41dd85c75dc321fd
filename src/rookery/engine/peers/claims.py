"""One client id has one session in the whole cluster: a node that is to begin one asks all others first.

A CONNECT whose session is here goes on at once, for then no other node has it. Any other becomes a claim: every
member is asked, and gives up what it has, or says that a session lives there which the client resumes. Of
two claims for one id the one with the lower ticket goes first: who has the lower one answers the other's question
when it is through, from what stands then, so the later CONNECT takes over from the earlier. Tickets are
stamps, and each question makes those of the node that is asked higher, so a node that answered never makes a lower one.

What a node answered holds while its link does: a link that comes up again is asked again, for the node may have begun
anew and forgotten. While a member has no link the claim waits, until the deadline of its CONNECT. When one
stops being a member its sessions are with another by then, so all are asked again.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from rookery.engine.client_link import ADMITTING, ClientLink
from rookery.engine.committer import Waiter
from rookery.engine.elsewhere import Elsewhere
from rookery.engine.mountpoints import label_of, session_key
from rookery.engine.peers.items import CLAIM, CLAIMED, item, u64_at
from rookery.engine.peers.remote_node import RemoteNode
from rookery.engine.stats import END_TAKEOVER
from rookery.mqtt.errors import MalformedPacket
from rookery.mqtt.packets import Connect
from rookery.mqtt.types import ReasonCode
from rookery.ports import PeerLink

if TYPE_CHECKING:
    from rookery.engine.admission import Admitted
    from rookery.engine.peers.hub import Hub
    from rookery.engine.session_actor import SessionActor

NONE: Final = 0
"""The node has no session for the key, and none of before comes back."""
OWNED: Final = 1
"""A durable session lives there, which the client is to resume."""
CLAIM_HEAD_BYTES: Final = 17


class Question:
    """What another node asks: whether there is anything for a key."""

    def __init__(self, node: RemoteNode, link: PeerLink, body: bytes) -> None:
        """Raises ``MalformedPacket`` where the body is none of a CLAIM."""
        if len(body) < CLAIM_HEAD_BYTES:
            raise MalformedPacket("a claim is shorter than its fields")
        self.node = node
        self.link = link
        self.number = u64_at(body, 0)
        self.ticket = u64_at(body, 8)
        self.clean_start = body[16] == 1
        try:
            self.key = body[CLAIM_HEAD_BYTES:].decode()
        except UnicodeDecodeError:
            raise MalformedPacket("the key of a claim is no text") from None


class Claim(Elsewhere):
    """A CONNECT that waits until all other nodes have answered."""

    def __init__(
        self, claims: Claims, client: ClientLink, connect: Connect, admitted: Admitted, key: str
    ) -> None:
        self.claims = claims
        self.client = client
        self.connect = connect
        self.admitted = admitted
        self.key = key
        self.number: int = 0
        self.ticket: int = 0
        self.answers: dict[str, int] = {}
        """By node: what it answered since its link is up."""
        self.put_off: list[Question] = []
        """What later claims of others ask."""

    def received(self, client: ClientLink, data: bytes, now: float) -> None:
        """Not used: what comes meanwhile the link holds."""
        raise NotImplementedError

    def due(self, client: ClientLink, now: float) -> None:
        """The client must be let in by now."""
        if now >= client.connect_by:
            self.claims.give_up(self)

    def ended(self, client: ClientLink, reason: str) -> None:
        """The client has gone. Others may have ended its session for it, as it asked."""
        self.claims.drop(self)


class Claims(Waiter):
    """The claims of this node, and what others ask."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pending: dict[str, Claim] = {}
        self._numbers: dict[int, Claim] = {}
        self._number: int = 0
        self._again: list[Question] = []
        """Questions that are answered at the end of this turn."""
        self._closed: list[Question] = []
        """Questions about sessions here, while this node lets nobody have them."""
        self._removing: list[Question] = []
        """Questions whose answer waits until a removal is durable."""

    def begin(self, client: ClientLink, connect: Connect, admitted: Admitted, key: str) -> bool:
        """Ask the other nodes for a key, if they must be: the client waits then, or False."""
        hub = self._hub
        broker = hub.broker
        earlier = self._pending.get(key)
        if earlier is not None:
            text = "another CONNECT with its client id came meanwhile"
            self._refuse(earlier, text)
        if key in broker.registry.actors or not any(each.member for each in hub.nodes.values()):
            return False
        broker.stats.claims_asked += 1
        claim = Claim(self, client, connect, admitted, key)
        claim.ticket = hub.stamps.new()
        self._pending[key] = claim
        client.elsewhere = claim
        client.stage = ADMITTING
        self._ask_all(claim)
        return True

    def again(self, client: ClientLink, connect: Connect, admitted: Admitted) -> None:
        """The session that a client was to resume has ended, or gone elsewhere, before it could."""
        key = session_key(admitted.mountpoint, admitted.principal.client_id)
        admission = self._hub.broker.admission
        if key in self._pending:
            text = "another CONNECT with its client id came meanwhile"
            admission.refuse_claim(client, ReasonCode.SERVER_UNAVAILABLE, text)
        elif not self.begin(client, connect, admitted, key):
            admission.claimed(client, connect, admitted)

    def _ask_all(self, claim: Claim) -> None:
        """Ask every member; what any answered before counts no more."""
        self._numbers.pop(claim.number, None)
        self._number += 1
        claim.number = self._number
        self._numbers[claim.number] = claim
        claim.answers.clear()
        for node in self._hub.nodes.values():
            if node.member and node.link is not None:
                self._ask(claim, node)

    def _ask(self, claim: Claim, node: RemoteNode) -> None:
        head = claim.number.to_bytes(8, "big") + claim.ticket.to_bytes(8, "big")
        flags = b"\1" if claim.connect.clean_start else b"\0"
        node.put(item(CLAIM, head + flags + claim.key.encode()))

    def answered(self, node: RemoteNode, body: bytes) -> None:
        """A node's answer. Raises ``PeerFault`` or ``IndexError`` where it makes no sense."""
        claim = self._numbers.get(u64_at(body, 0))
        answer = body[8]
        if claim is not None:
            claim.answers[node.node_id] = answer
            self._settle(claim)

    def _settle(self, claim: Claim) -> None:
        """Let the client go on, if nobody has anything to say any more."""
        owner: RemoteNode | None = None
        asked = False
        absent = False
        for node in self._hub.nodes.values():
            if not node.member:
                continue
            answer = claim.answers.get(node.node_id)
            if answer == OWNED:
                owner = node
            elif answer is None:
                if node.link is None:
                    absent = True
                else:
                    asked = True
        if asked:
            return  # What it does about our question must be done before.
        broker = self._hub.broker
        if claim.key in broker.registry.actors:
            owner = (
                None  # It has come to us meanwhile, with the sessions of a node that is no more.
            )
        elif owner is None and absent:
            return
        client = claim.client
        client.elsewhere = None
        self._end(claim)
        closed_for = broker.admission.closed_for(client)
        if owner is None:
            broker.admission.claimed(client, claim.connect, claim.admitted)
        elif closed_for:  # Whoever is relayed is connected here as well.
            broker.admission.refuse_claim(client, ReasonCode.SERVER_UNAVAILABLE, closed_for)
        else:
            self._hub.relays.start(client, claim.connect, claim.admitted, owner)

    def _end(self, claim: Claim) -> None:
        """It is through, or given up: the next one's turn, once what it led to is done."""
        if self._pending.get(claim.key) is claim:
            del self._pending[claim.key]
        self._numbers.pop(claim.number, None)
        if claim.put_off:
            claim.put_off.sort(key=attrgetter("ticket"))
            self._again.extend(claim.put_off)
            claim.put_off.clear()
            self._hub.broker.request_turn()

    def drop(self, claim: Claim) -> None:
        """The client of a claim has gone."""
        self._end(claim)

    def give_up(self, claim: Claim) -> None:
        """The client of a claim has waited for too long."""
        silent = [
            node.node_id
            for node in self._hub.nodes.values()
            if node.member and node.node_id not in claim.answers
        ]
        self._refuse(claim, f"not all nodes said in time whether they have its session: {silent}")

    def _refuse(self, claim: Claim, text: str) -> None:
        claim.client.elsewhere = None
        self._end(claim)
        admission = self._hub.broker.admission
        admission.refuse_claim(claim.client, ReasonCode.SERVER_UNAVAILABLE, text)

    def drain(self) -> None:
        """The node is shutting down: nobody is let in any more."""
        for claim in list(self._pending.values()):
            self._refuse(claim, "the node is shutting down")

    def asked(self, node: RemoteNode, body: bytes) -> None:
        """A node's question. Raises ``PeerFault`` where it makes no sense."""
        assert node.link is not None
        question = Question(node, node.link, body)
        self._hub.stamps.saw(question.ticket)
        self._consider(question)

    def _consider(self, question: Question) -> None:
        """Answer from what stands now, unless something must be done before."""
        if question.node.link is not question.link:
            return  # It asks again.
        own = self._pending.get(question.key)
        if own is not None and own.ticket < question.ticket:
            own.put_off.append(question)
            return
        broker = self._hub.broker
        actor = broker.registry.actors.get(question.key)
        if actor is not None and actor.is_over(broker.now):
            broker.registry.expire(actor)
            actor = None
        if actor is not None and broker.closed_for:
            self._closed.append(question)
            return
        if actor is not None:
            if actor.session.durable and not question.clean_start:
                self._answer(question, OWNED)
                return
            self._end_session(actor, question.node)
        if not self._must_wait(question):
            self._answer(question, NONE)

    def _end_session(self, actor: SessionActor, node: RemoteNode) -> None:
        """A client that comes to another node begins anew there. [MQTT-3.1.2-4] [MQTT-3.1.4-3]"""
        broker = self._hub.broker
        client = actor.client
        if client is not None:
            broker.stats.sessions_taken_over += 1
            broker.log_taken_over(client, label_of(actor.client_id), node.node_id)
            client.disconnect(ReasonCode.SESSION_TAKEN_OVER, END_TAKEOVER, "")
        if not actor.ended:
            broker.stats.sessions_discarded += 1
            broker.registry.end_session(actor)

    def _must_wait(self, question: Question) -> bool:
        """Whether a session that was here could still come back, if the node came down now."""
        committer = self._hub.broker.committer
        group = self._hub.broker.registry.removed_in(question.key)
        if group <= committer.durable:
            return False
        if group == committer.number and not committer.failing:
            committer.must_keep()
        self._removing.append(question)
        committer.wait(group, self)
        return True

    def committed(self, group: int, error: Exception | None) -> None:
        """A removal may be durable."""
        self._again.extend(self._removing)
        self._removing.clear()
        self._hub.broker.request_turn()

    def room(self) -> None:
        """Nothing here waits for room."""

    def _answer(self, question: Question, answer: int) -> None:
        body = question.number.to_bytes(8, "big") + bytes((answer,))
        question.node.put(item(CLAIMED, body))

    def end_turn(self) -> None:
        """Answer what was put off and may be answered now."""
        if self._closed and not self._hub.broker.closed_for:
            self._again.extend(self._closed)
            self._closed.clear()
        if self._again:
            again = self._again
            self._again = []
            for question in again:
                self._consider(question)

    def link_up(self, node: RemoteNode) -> None:
        """Ask a node whose link is up, as if it had never been asked."""
        if node.member:
            for claim in self._pending.values():
                self._ask(claim, node)

    def link_down(self, node: RemoteNode) -> None:
        """What a node answered is worth nothing any more; what it asked it asks again."""
        for claim in list(self._pending.values()):
            claim.answers.pop(node.node_id, None)
            self._settle(claim)

    def members_changed(self) -> None:
        """Who is one now must be asked; and another node may have now what one had that is none any more."""
        for claim in list(self._pending.values()):
            self._ask_all(claim)
            self._settle(claim)
