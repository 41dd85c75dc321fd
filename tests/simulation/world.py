"""Runs a script: one broker after the other on one store, its clients, and the referee."""

from typing import Any, NoReturn

from rookery.mqtt.types import V3_1_1, V5
from tests.simulation.client import Client
from tests.simulation.ledger import Broken, Ledger
from tests.simulation.script import CLIENTS, LASTING, Event
from tests.support.engine import Engine, FakeStore

ROUNDS_MAX = 2_000
LIMITS = {"queue_messages_max": 1_000_000, "queue_bytes_max": 1_000_000_000}
WINDOWS = (3, 20, 65_535, 1, 65_535, 10)
VERSIONS = (V5, V3_1_1, V5, V5, V3_1_1, V5)


class World:
    """Everything there is."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.store = FakeStore()
        self.engine = Engine(self.store, **LIMITS)
        self.store_reads = True
        self._watch()
        self.clients = [
            Client(self.ledger, f"c{number}", VERSIONS[number], number < LASTING, WINDOWS[number])
            for number in range(CLIENTS)
        ]

    def _watch(self) -> None:
        """Let a fault of the broker's be one of the run's."""
        broker: Any = self.engine.broker
        broker.scheduler._crashed = _raise
        broker.timers._failed = _raise
        # Trim whatever can be, in the smallest steps.
        broker.trimmer.loose_bytes_min = 1
        broker.trimmer.looks_max = 3

    def run(self, events: list[Event]) -> None:
        """Run the script and then to the end of all that is under way; raises what went wrong."""
        for event in events:
            self.ledger.tick()
            self._do(event)
            self.pump()
        self.drain()
        self.ledger.check()
        self.check_nothing_comes_again()
        self.check_nothing_is_left()

    def _do(self, event: Event) -> None:
        kind: Any
        kind, *rest = event
        arguments: Any = rest
        if kind == "commit":
            if self.store.waiting:
                if not arguments[0]:
                    self.ledger.commits_failed = True
                self.engine.complete(None if arguments[0] else OSError("full"))
        elif kind == "full":
            self.store.is_full = arguments[0]
            self.ledger.commits_failed = self.ledger.commits_failed or arguments[0]
        elif kind == "time":
            self.engine.wait(arguments[0])
        elif kind == "crash":
            self.crash(arguments[0])
        elif kind == "reads":
            self.store.reads_at_once = arguments[0]
        elif kind == "read":
            self._read_one()
        else:
            number, *more = arguments
            self._do_client(self.clients[number], kind, more)

    def _do_client(self, client: Client, kind: str, arguments: Any) -> None:
        if kind == "publish":
            client.publish(*arguments)
        elif kind == "attach":
            fresh = arguments[0]
            if client.peer is None or fresh:
                client.attach(self.engine, fresh)
        elif kind == "subscribe":
            client.subscribe(*arguments)
        elif kind == "unsubscribe":
            client.unsubscribe(*arguments[:2])
        elif kind == "withhold":
            client.withholds = arguments[0]
        elif kind == "deaf":
            client.deaf = arguments[0]
        elif kind == "ack":
            client.acknowledge(arguments[0])
        elif kind == "drop":
            client.drop()
        else:
            assert kind == "leave", kind
            client.leave()

    def _read_one(self) -> None:
        if self.store.reading:
            self.store.complete_read()
            self.engine.flush()
            self.engine.settle()

    def crash(self, kept: int) -> None:
        """The node goes down at once and another one starts on what it left on the disk."""
        for client in self.clients:
            client.lost()
        self.store.crash(kept)
        self.engine = Engine.restart(self.store, **LIMITS)
        self._watch()

    def pump(self) -> None:
        """Let clients read and answer until nothing moves."""
        for _ in range(ROUNDS_MAX):
            moved = [client.read() for client in self.clients]
            if not any(moved):
                return
        raise Broken("the clients and the broker go on without end")

    def drain(self) -> None:
        """From now on everything works; wait until there is nothing left to do."""
        self.store.reads_at_once = True
        self.store.is_full = False
        for client in self.clients:
            client.deaf = client.withholds = False
        self.pump()
        for client in self.clients:
            client.acknowledge(len(client.due))
        quiet = 0
        for _ in range(ROUNDS_MAX):
            time = self.ledger.time
            while self.store.reading:
                self._read_one()
            if self.store.waiting:
                self.engine.complete()
            for client in self.clients:
                if client.peer is None:
                    client.attach(self.engine, fresh=False)
            self.engine.wait(1)
            self.pump()
            quiet = quiet + 1 if self.ledger.time == time and not self.store.waiting else 0
            if quiet > 2:
                return
        raise Broken("the broker never comes to rest")

    def check_nothing_comes_again(self) -> None:
        """All is acknowledged and committed: another start brings nothing back."""
        before = {id(seen): len(seen.got) for seen in self.ledger.seen}
        self.crash(0)
        self.drain()
        for seen in self.ledger.seen:
            more = seen.got[before.get(id(seen), len(seen.got)) :]
            if more and seen.persistent:
                raise Broken(f"{seen.client_id} got {more[0].message} again, long acknowledged")

    def check_nothing_is_left(self) -> None:
        """With nothing owed and nothing retained no block and no delivery is kept."""
        for client in self.clients:
            if client.unfinished or client.received:
                raise Broken(f"{client.client_id}: {client.unfinished} {client.received}")
        topics = [f"r/{number}" for number in range(CLIENTS)]
        self.clients[0].clear_retained(topics)
        self.drain()
        content = self.store.content
        if content.blocks:
            raise Broken(f"blocks left: {content.blocks}")
        if content.inbound or content.outbound or content.retained:
            raise Broken(f"left: {content.inbound} {content.outbound} {content.retained}")
        references: Any = self.engine.broker.committer.references
        if references._counts or references._weights:
            raise Broken(f"references left: {references._counts} {references._weights}")
        if references.stored_bytes or references.loose_bytes:
            raise Broken(f"weight left: {references.stored_bytes} {references.loose_bytes}")


def _raise(_: object, error: Exception) -> NoReturn:
    raise error
