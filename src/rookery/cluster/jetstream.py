"""The connection to NATS, and what is asked of JetStream over it.

There is one connection, to the node's own server as long as it answers and else to one of the others; it is made
again for ever. What is asked is answered within a short time or not at all: ``NoAnswer`` says that nothing is known
of the outcome, ``Refusal`` that JetStream said no. A server without JetStream, or a stream without a leader, lets a
request fail at once, so whoever asks again pauses in between (``pause``), or it would ask as fast as it can.

Records are read by Direct Get, which any replica answers, also while a stream has no leader: no consumers.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import nats.errors
import structlog
from nats.aio.client import Client, Server, Srv
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from rookery.actors.tasks import Tasks
from rookery.cluster.nats_config import CLIENT_USER, password

log: Final = structlog.get_logger("rookery.cluster")

ANSWER_SECONDS_MAX: Final = 1.0
"""How long an answer may take: what a dying server was asked is lost, and asking again is cheap."""
CONNECT_SECONDS_MAX: Final = 1
RECONNECT_SECONDS: Final = 0.2
PING_SECONDS: Final = 0.5
"""How often the server is asked for a sign of life; a stopped one is left after three times that."""
NO_RESPONDERS_SECONDS: Final = 0.05
"""How long one waits before it reports that nobody is there to answer."""
READ_BYTES_MAX: Final = 8 << 20
"""How much one read brings, but one record at least."""


class NoAnswer(Exception):
    """Nobody answered in time: what was asked for may be done or not."""


class Refusal(Exception):
    """JetStream said no."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code = code
        """The number of the error as NATS documents it (``err_code``)."""
        self.text = text


@dataclass(frozen=True, slots=True)
class Stored:
    """One message of a stream."""

    sequence: int
    subject: str
    data: bytes


@dataclass(frozen=True, slots=True)
class JetStreamSettings:
    """Where to connect to."""

    servers: tuple[str, ...]
    """``host:port`` or URLs of servers, the node's own first."""
    secret: str = ""
    """The cluster's secret; where it is empty, the URLs say who one is."""
    name: str = "rookery"
    """What NATS calls the connection in its logs."""


class JetStream:
    """The node's connection. ``connect`` before anything else, ``close`` at the end."""

    def __init__(self, settings: JetStreamSettings) -> None:
        self._settings = settings
        self._client = _Client()
        self._tasks = Tasks(_failed)
        self._closing = False
        self._told: str | None = None
        self._tries = 0
        self._last = ""

    @property
    def connected(self) -> bool:
        """Whether there is a server to ask now."""
        return self._client.is_connected

    @property
    def at_home(self) -> bool:
        """Whether that is the node's own server."""
        return self.connected and self.where == address(self._settings.servers[0])

    @property
    def server_name(self) -> str:
        """What the server calls itself that is connected to; empty where none ever was."""
        return str(self.server_told.get("server_name", ""))

    @property
    def server_told(self) -> Mapping[str, object]:
        """What that server said of itself when it let us in, as NATS documents it (``INFO``)."""
        return self._client.server_told

    @property
    def where(self) -> str:
        """Its ``host:port``; empty where there is none."""
        where = self._client.connected_url
        return "" if where is None else f"{where.hostname}:{where.port}"

    def problems(self) -> list[str]:
        """What is wrong with the connection now, for the operator; empty when nothing is."""
        if self.connected:
            return []
        return [f"NATS: no connection{'' if self._told is None else f': {self._told}'}"]

    async def connect(self) -> None:
        """Connect; waits until a server lets us in."""
        await self._open()

    async def close(self) -> None:
        """End the connection."""
        self._closing = True
        await self._tasks.stop()
        await self._client.close()

    async def _open(self) -> None:
        user: dict[str, Any] = {}
        if self._settings.secret:
            secret = password(self._settings.secret, CLIENT_USER)
            user = {"user": CLIENT_USER, "password": secret}
        await self._client.connect(
            [url(server) for server in self._settings.servers],
            name=self._settings.name,
            connect_timeout=CONNECT_SECONDS_MAX,
            # The library takes fractions of a second as well.
            reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]
            ping_interval=PING_SECONDS,  # type: ignore[arg-type]
            max_reconnect_attempts=-1,
            dont_randomize=True,
            reconnect_to_server_handler=self._next_server,
            error_cb=self._error,
            disconnected_cb=self._disconnected,
            closed_cb=self._closed,
            reconnected_cb=self._reconnected,
            **user,
        )
        await self._reconnected()

    async def go_home(self) -> None:
        """Connect to the node's own server again, if it can be connected to."""
        host, _, port = address(self._settings.servers[0]).rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            return
        writer.close()
        self._last = ""
        await self._client.force_reconnect()

    async def ask(
        self,
        subject: str,
        data: bytes = b"",
        headers: dict[str, str] | None = None,
        seconds: float = ANSWER_SECONDS_MAX,
    ) -> Msg:
        """Send a request and return the answer. Raises ``NoAnswer``."""
        if not self.connected:
            await asyncio.sleep(NO_RESPONDERS_SECONDS)
            raise NoAnswer("there is no connection to NATS")
        try:
            return await self._client.request(subject, data, seconds, headers=headers)
        except NoRespondersError:
            await asyncio.sleep(NO_RESPONDERS_SECONDS)
            raise NoAnswer(f"nobody answers {subject} now") from None
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise NoAnswer(f"no answer to {subject}: {describe(error)}") from error

    async def api(
        self,
        name: str,
        asked: Mapping[str, object] | None = None,
        seconds: float = ANSWER_SECONDS_MAX,
    ) -> dict[str, Any]:
        """Call JetStream's API, ``STREAM.INFO.x`` say. Raises ``NoAnswer`` and ``Refusal``."""
        data = b"" if asked is None else json.dumps(asked).encode()
        return answered(await self.ask(f"$JS.API.{name}", data, None, seconds))

    async def put(
        self,
        subject: str,
        data: bytes,
        headers: dict[str, str] | None = None,
        seconds: float = ANSWER_SECONDS_MAX,
    ) -> int:
        """Append to a stream; the sequence. Raises ``NoAnswer`` and ``Refusal``."""
        return int(answered(await self.ask(subject, data, headers, seconds))["seq"])

    async def get(
        self, stream: str, asked: Mapping[str, object], seconds: float = ANSWER_SECONDS_MAX
    ) -> list[Stored]:
        """Messages by a batch of Direct Get, in order; empty where there are none. Raises ``NoAnswer``.

        ``seconds`` is how long nothing may come: large records take their time.
        ``asked`` is the request as NATS documents it, with ``batch``, or ``multi_last``.
        """
        if not self.connected:
            await asyncio.sleep(NO_RESPONDERS_SECONDS)
            raise NoAnswer("there is no connection to NATS")
        reading = _Reading(asyncio.get_running_loop().create_future())
        inbox = self._client.new_inbox()
        try:
            subscription = await self._client.subscribe(inbox, cb=reading.take)
            try:
                await self._client.publish(
                    f"$JS.API.DIRECT.GET.{stream}",
                    json.dumps({"max_bytes": READ_BYTES_MAX, **asked}).encode(),
                    reply=inbox,
                )
                status = await reading.status(seconds)
            finally:
                if not self._client.is_closed:
                    await subscription.unsubscribe()
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise NoAnswer(f"no answer from {stream}: {describe(error)}") from error
        if status == "503":
            await asyncio.sleep(NO_RESPONDERS_SECONDS)
            raise NoAnswer(f"nobody answers for {stream} now")
        if status not in {"204", "404"}:
            raise Refusal(int(status), f"{stream} refused to read {dict(asked)}")
        return reading.found

    def _next_server(
        self, servers: Sequence[Server], _info: Mapping[str, Any]
    ) -> tuple[Server, float]:
        """Which server to try: ours first, then the others in turn; ours last where it was just lost."""
        home = address(self._settings.servers[0])
        ordered = sorted(servers, key=lambda each: each.uri.netloc.rpartition("@")[2] != home)
        chosen = ordered[self._tries % len(ordered)]
        delay = 0.0 if self._tries < len(ordered) else RECONNECT_SECONDS
        self._tries += 1
        return chosen, delay

    async def _error(self, error: Exception) -> None:
        # The same error comes with every attempt.
        if self._told != describe(error):
            self._told = describe(error)
            log.warning("nats_connection_error", reason=self._told)

    async def _disconnected(self) -> None:
        self._tries = 1 if self._last == address(self._settings.servers[0]) else 0
        if not self._client.is_closed:
            log.warning("nats_disconnected")

    async def _closed(self) -> None:
        # The library gives up for good where a server told it an error.
        if not self._closing:
            self._client = _Client()
            self._tasks.start("nats-connection", self._open())

    async def _reconnected(self) -> None:
        self._told = None
        self._last = self.where
        log.info("nats_connected", server=self._last)


class _Client(Client):
    """The library's client, with what it lacks."""

    @property
    def server_told(self) -> Mapping[str, object]:
        """As the server told when it let us in."""
        return self._server_info

    async def close(self) -> None:
        """End it, also where it never began to connect: the library takes that for a mistake of ours."""
        if self._flush_queue is not None:
            await super().close()

    async def _connect_to_server(self, s: Srv) -> None:
        # It leaves connections open that were made and came to nothing.
        if self._transport:
            self._transport.close()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)


class _Reading:
    """Collects the messages of one read until a status ends it."""

    def __init__(self, ended: asyncio.Future[str]) -> None:
        self.ended = ended
        self.found: list[Stored] = []

    async def status(self, seconds: float) -> str:
        """What ended it. Raises ``TimeoutError`` where nothing came for so long."""
        while True:
            before = len(self.found)
            done, _ = await asyncio.wait({self.ended}, timeout=seconds)
            if done:
                return self.ended.result()
            if len(self.found) == before:
                raise TimeoutError

    async def take(self, msg: Msg) -> None:
        headers = msg.headers or {}
        status = headers.get("Status")
        if status is None:
            sequence = int(headers["Nats-Sequence"])
            self.found.append(Stored(sequence, headers["Nats-Subject"], msg.data))
        elif not self.ended.done():
            self.ended.set_result(status)


def _failed(name: str, error: BaseException) -> None:
    log.error("nats_connection_failed", task=name, exc_info=error)


def answered(msg: Msg) -> dict[str, Any]:
    """The answer, where it is one: an error's has a sequence as well, which is 0. Raises ``Refusal``."""
    try:
        answer: dict[str, Any] = json.loads(msg.data)
    except ValueError as error:
        raise NoAnswer(f"not the answer of JetStream: {msg.data[:80]!r}") from error
    if "error" in answer:
        told = answer["error"]
        raise Refusal(
            int(told.get("err_code", told.get("code", 0))), str(told.get("description", ""))
        )
    return answer


def url(server: str) -> str:
    """An address as a URL."""
    return server if "://" in server else f"nats://{server}"


def address(server: str) -> str:
    """The ``host:port`` of a URL or an address."""
    return server.rpartition("://")[2].rpartition("@")[2].rstrip("/")


def describe(error: BaseException) -> str:
    """An error in words; many have none of their own."""
    return str(error) or type(error).__name__
