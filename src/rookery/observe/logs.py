"""Logs: one line per event, for machines (JSON) or for people (console), on one stream.

Code says ``log = structlog.get_logger()`` and ``log.info("client_attached", client_id=...)``: the event is a
name in snake_case, everything else a field. The records of libraries, which use ``logging``, join the same
stream as ``library_message``.

The order of the steps matters: a line below the level costs nothing more than a comparison, a line over the
limit is never rendered, and secrets are masked before anything is written.
"""

import logging
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
REPEAT_KEY_FIELDS: Final = ("listener", "reason", "reason_code", "logger")
"""Lines with the same event, level and these fields are the same line. The client id is left out: ten thousand
clients with one fault are one thing to know."""
REPEAT_KEYS_MAX: Final = 1024
"""How many different lines are counted at one time; the oldest count ends early to make room."""
REPEAT_WINDOW_SECONDS: Final = 60.0
KEY_CHARACTERS_MAX: Final = 200
MASK: Final = "***"
SECRET_WORDS: Final = frozenset({"password", "passphrase", "token", "secret", "authorization"})


class _Window:
    """The count of one line since its first appearance."""

    __slots__ = ("dropped", "seen", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.seen = 0
        self.dropped = 0


class RepeatLimiter:
    """Drops a line that came too often within a minute, and sums up afterwards how often it came.

    The summary, ``log_repeated``, is written when the minute is over: by the next line of any kind, or by
    ``flush``. Memory is bounded by ``REPEAT_KEYS_MAX`` counts.
    """

    def __init__(
        self,
        limit_per_minute: int,
        clock: Callable[[], float],
        summarize: Callable[[str, dict[str, object]], object],
    ) -> None:
        self._limit = limit_per_minute
        self._clock = clock
        self._summarize = summarize
        self._windows: OrderedDict[tuple[str, ...], _Window] = OrderedDict()
        self._lock = threading.Lock()  # Libraries log from threads of their own.

    def __call__(self, _logger: WrappedLogger, name: str, line: EventDict) -> EventDict:
        """Count the line, then drop it or let it pass."""
        if line.get("event") == "log_repeated":
            return line
        now = self._clock()
        key = (name, *(str(line.get(field, ""))[:KEY_CHARACTERS_MAX] for field in _KEY))
        with self._lock:
            ended = self._take_ended(now)
            window = self._windows.get(key)
            if window is None:
                if len(self._windows) == REPEAT_KEYS_MAX:
                    ended.append(self._windows.popitem(last=False))
                window = self._windows[key] = _Window(now)
            window.seen += 1
            over = window.seen > self._limit
            window.dropped += over
        self._tell(ended)
        if over:
            raise structlog.DropEvent
        return line

    def flush(self, *, everything: bool = False) -> None:
        """Sum up the minutes that are over, or (before the node stops) all of them."""
        with self._lock:
            ended = self._take_ended(float("inf") if everything else self._clock())
        self._tell(ended)

    def _take_ended(self, now: float) -> list[tuple[tuple[str, ...], _Window]]:
        ended = []
        while self._windows:
            key, window = next(iter(self._windows.items()))  # The oldest: they stand in order.
            if now - window.started < REPEAT_WINDOW_SECONDS:
                break
            del self._windows[key]
            ended.append((key, window))
        return ended

    def _tell(self, ended: list[tuple[tuple[str, ...], _Window]]) -> None:
        for (name, event, *values), window in ended:
            if window.dropped:
                fields = zip(REPEAT_KEY_FIELDS, values, strict=True)
                told: dict[str, object] = {field: value for field, value in fields if value}
                self._summarize(name, {"repeated": event, "count": window.dropped, **told})


_KEY = ("event", *REPEAT_KEY_FIELDS)


def mask_secrets(_logger: WrappedLogger, _name: str, line: EventDict) -> EventDict:
    """Put ``***`` in place of every field that is named like a secret, at any depth."""
    masked: EventDict = _masked(line)
    return masked


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: MASK if _is_secret(key) and inner is not None else _masked(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return [_masked(inner) for inner in value] if value else value
    return value


def _is_secret(key: object) -> bool:
    return isinstance(key, str) and key.lower().rpartition("_")[2] in SECRET_WORDS


def _escape_controls(_logger: WrappedLogger, _name: str, line: EventDict) -> EventDict:
    """Keep a client id with line breaks or terminal codes from writing lines of its own."""
    return {
        key: value.encode("unicode_escape").decode()
        if isinstance(value, str) and key not in ("exception", "stack") and not value.isprintable()
        else value
        for key, value in line.items()
    }


def _in_order(_logger: WrappedLogger, _name: str, line: EventDict) -> EventDict:
    """What every line has comes first."""
    first = {key: line.pop(key) for key in ("timestamp", "level", "event") if key in line}
    return {**first, **line}


class Sink:
    """Writes lines to a stream. One that is closed or full loses lines and never stops the node."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one line."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass

    debug = info = warning = error = critical = msg


class LibraryRecords(logging.Handler):
    """Passes the records of ``logging`` on as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record at its level, or at the nearest one below it that we have."""
        level = "debug"
        for name, severity in LEVELS.items():
            if severity <= record.levelno:
                level = name
        try:
            fields: dict[str, object] = {"logger": record.name, "message": record.getMessage()}
        except (TypeError, ValueError):  # The library's format and its arguments do not match.
            fields = {"logger": record.name, "message": str(record.msg)}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        getattr(structlog.get_logger(), level)("library_message", **fields)


class Logs:
    """The logs as configured: what may change at run time."""

    def __init__(self, level: str, limiter: RepeatLimiter) -> None:
        self._limiter = limiter
        self.set_level(level)

    @property
    def level(self) -> str:
        """The least severe level that is written: ``debug``, ``info``, ``warning`` or ``error``."""
        return self._level

    def set_level(self, level: str) -> None:
        """Write lines from this level on; raises ``ValueError`` for a level there is none of.

        Loggers that were bound before keep the level of that time.
        """
        if level not in LEVELS:
            raise ValueError(f"a log level is one of {', '.join(LEVELS)}, not {level!r}")
        self._level = level
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]))
        logging.getLogger().setLevel(LEVELS[level])

    def flush(self) -> None:
        """Sum up the repeated lines of the minutes that are over; call it now and then."""
        self._limiter.flush()

    def close(self) -> None:
        """Sum up all repeated lines, before the node stops."""
        self._limiter.flush(everything=True)


def configure(
    *,
    level: str,
    line_format: str,
    repeat_limit_per_minute: int,
    clock: Callable[[], float],
    environ: Mapping[str, str],
    stream: TextIO | None = None,
) -> Logs:
    """Set up the logs of the whole process, those of libraries too.

    ``line_format`` is ``json``, ``console`` or ``auto`` (console where the stream is a terminal); ``clock`` tells
    seconds that never go back; ``stream`` is standard error unless told otherwise.
    """
    stream = stream or sys.stderr
    limiter = RepeatLimiter(repeat_limit_per_minute, clock, _summarize)
    console = line_format == "console" or (line_format == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            limiter,
            mask_secrets,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_console(stream, environ) if console else _JSON),
        ],
        logger_factory=lambda *_: Sink(stream),
        cache_logger_on_first_use=False,  # Loggers made before this call must follow it too.
    )
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, LibraryRecords)]:
        root.removeHandler(handler)
    root.addHandler(LibraryRecords())
    return Logs(level, limiter)


def _summarize(name: str, fields: dict[str, object]) -> object:
    return getattr(structlog.get_logger(), name)("log_repeated", **fields)


_JSON: Final[tuple[Processor, ...]] = (
    structlog.processors.format_exc_info,
    _in_order,
    structlog.processors.JSONRenderer(),
)


def _console(stream: TextIO, environ: Mapping[str, str]) -> tuple[Processor, ...]:
    colors = stream.isatty() and not environ.get("NO_COLOR")
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors,
        sort_keys=False,
        # A traceback with the values of local variables would tell passwords.
        exception_formatter=structlog.dev.plain_traceback,
    )
    return (_escape_controls, renderer)
