"""Log lines, as they come out on a stream."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from rookery.observe.logs import REPEAT_KEYS_MAX, LibraryRecords, Logs, configure

log = structlog.get_logger()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Out:
    """Logs on a stream of the test's own, with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stream: io.StringIO = io.StringIO()

    def configure(
        self,
        level: str = "info",
        line_format: str = "json",
        limit: int = 1000,
        environ: dict[str, str] | None = None,
        stream: io.StringIO | None = None,
    ) -> Logs:
        self.stream = stream or self.stream
        return configure(
            level=level,
            line_format=line_format,
            repeat_limit_per_minute=limit,
            clock=lambda: self.now,
            environ=environ or {},
            stream=self.stream,
        )

    def text(self) -> str:
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return text

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines()]


@pytest.fixture
def out() -> Iterator[Out]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Out()
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


class TestLines:
    def test_json_has_time_level_and_event_first(self, out: Out):
        out.configure()
        log.info("client_attached", client_id="c\n", reason=None)
        (line,) = out.lines()
        assert list(line) == ["timestamp", "level", "event", "client_id", "reason"]
        assert (line["level"], line["event"], line["client_id"]) == (
            "info",
            "client_attached",
            "c\n",
        )
        told = datetime.fromisoformat(line["timestamp"])
        assert told.tzinfo is not None
        assert abs((datetime.now(UTC) - told).total_seconds()) < 60

    def test_console_is_for_people(self, out: Out):
        out.configure(line_format="console")
        log.warning("client_refused", client_id="c")
        text = out.text()
        assert "[warning  ] client_refused" in text
        assert text.endswith("client_id=c\n")

    def test_auto_depends_on_the_stream(self, out: Out):
        out.configure(line_format="auto")
        log.info("a")
        assert out.lines()[0]["event"] == "a"
        out.configure(line_format="auto", stream=Terminal())
        log.info("a")
        assert not out.text().startswith("{")

    @pytest.mark.parametrize(
        ("stream", "environ", "colored"),
        [
            (Terminal(), {}, True),
            (Terminal(), {"NO_COLOR": ""}, True),
            (Terminal(), {"NO_COLOR": "1"}, False),
            (io.StringIO(), {}, False),
        ],
    )
    def test_colors_only_on_a_terminal_that_wants_them(self, out: Out, stream, environ, colored):
        out.configure(line_format="console", stream=stream, environ=environ)
        log.info("a")
        assert ("\x1b[" in out.text()) is colored

    def test_a_client_id_writes_no_lines_or_terminal_codes_of_its_own(self, out: Out):
        out.configure(line_format="console")
        log.info("client_attached", client_id="a\nfake\x1b[2J")
        assert out.text().endswith("client_id=a\\nfake\\x1b[2J\n")

    @pytest.mark.parametrize("line_format", ["json", "console"])
    def test_an_exception_comes_with_its_traceback_and_no_values(self, out: Out, line_format: str):
        out.configure(line_format=line_format)
        hidden = "hunter2"
        try:
            raise ZeroDivisionError(len(hidden))
        except ZeroDivisionError:
            log.exception("session_crashed")
        text = out.text()
        assert "ZeroDivisionError: 7" in text
        assert "test_logs.py" in text
        assert text.count("hunter2") == 0

    def test_a_stream_that_is_gone_stops_nobody(self, out: Out):
        out.configure()
        out.stream.close()
        log.info("a")
        out.stream = io.StringIO()


class TestSecrets:
    def test_they_are_masked_at_any_depth(self, out: Out):
        out.configure()
        log.info(
            "a", password="x", auth_token=b"x", user={"Secret": "x", "name": "n"}, l=[{"token": 1}]
        )
        (line,) = out.lines()
        assert (line["password"], line["auth_token"]) == ("***", "***")
        assert line["user"] == {"Secret": "***", "name": "n"}
        assert line["l"] == [{"token": "***"}]

    def test_what_is_not_there_and_what_only_sounds_like_one_stay(self, out: Out):
        out.configure()
        log.info("a", password=None, passwords_checked=5, tokens=[1, 2])
        (line,) = out.lines()
        assert (line["password"], line["passwords_checked"], line["tokens"]) == (None, 5, [1, 2])


class TestLevel:
    def test_it_changes_at_run_time_for_loggers_made_before(self, out: Out):
        logs = out.configure(level="warning")
        log.info("a")
        logging.getLogger("lib").info("x")
        log.warning("b")
        logs.set_level("debug")
        assert logs.level == "debug"
        log.debug("c")
        logging.getLogger("lib").debug("x")
        logs.set_level("error")
        log.warning("d")
        log.error("e")
        log.critical("f")
        assert out.events() == ["b", "c", "library_message", "e", "f"]

    def test_an_unknown_one_is_refused_and_changes_nothing(self, out: Out):
        logs = out.configure(level="error")
        with pytest.raises(ValueError, match="one of debug, info, warning, error, not 'loud'"):
            logs.set_level("loud")
        assert logs.level == "error"


class TestRepeats:
    def test_lines_over_the_limit_are_counted_and_summed_up(self, out: Out):
        out.configure(limit=2)
        for client_id in "abcde":
            log.warning("client_refused", client_id=client_id, reason="bad password")
        assert [line["client_id"] for line in out.lines()] == ["a", "b"]
        out.now = 59.9
        log.info("other")
        assert out.events() == ["other"]
        out.now = 60.0
        log.info("next")
        summary, _ = out.lines()
        assert (summary["event"], summary["level"]) == ("log_repeated", "warning")
        assert (summary["repeated"], summary["count"], summary["reason"]) == (
            "client_refused",
            3,
            "bad password",
        )
        log.warning("client_refused", reason="bad password")
        assert out.events() == ["client_refused"]

    def test_event_level_listener_and_reason_tell_lines_apart(self, out: Out):
        out.configure(limit=1)
        log.info("a")
        log.warning("a")
        log.info("b")
        log.info("a", reason="r")
        log.info("a", reason_code=0x87)
        log.info("a", listener="tcp")
        assert out.events() == ["a", "a", "b", "a", "a", "a"]

    def test_what_the_level_drops_is_not_counted(self, out: Out):
        logs = out.configure(limit=1)
        for _ in range(5):
            log.debug("a")
        logs.close()
        assert out.text() == ""

    def test_flush_sums_up_what_is_over_and_close_everything(self, out: Out):
        logs = out.configure(limit=1)
        log.info("a")
        log.info("a")
        out.now = 30.0
        log.info("b")
        log.info("b")
        out.text()
        out.now = 61.0
        logs.flush()
        assert [line["repeated"] for line in out.lines()] == ["a"]
        logs.close()
        assert [line["repeated"] for line in out.lines()] == ["b"]
        logs.close()
        assert out.text() == ""

    def test_memory_is_bounded_and_no_count_is_lost(self, out: Out):
        logs = out.configure(limit=1)
        log.info("a")
        log.info("a")
        for number in range(REPEAT_KEYS_MAX):
            log.info("b", reason=str(number))
        (summary,) = [line for line in out.lines() if line["event"] == "log_repeated"]
        assert (summary["repeated"], summary["count"]) == ("a", 1)
        logs.close()
        assert out.text() == ""

    def test_threads_share_the_count(self, out: Out):
        logs = out.configure(limit=10)
        threads = [
            threading.Thread(target=lambda: [log.info("a") for _ in range(100)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        logs.close()
        lines = out.lines()
        assert len(lines) == 11
        assert lines[-1]["count"] == 390


class TestLibraries:
    def test_their_records_join_the_stream(self, out: Out):
        out.configure()
        try:
            raise KeyError("k")
        except KeyError:
            logging.getLogger("uvicorn.error").exception("failed for %s", "me")
        logging.getLogger("lib").critical("c")
        first, second = out.lines()
        assert (first["event"], first["logger"], first["level"]) == (
            "library_message",
            "uvicorn.error",
            "error",
        )
        assert first["message"] == "failed for me"
        assert "KeyError: 'k'" in first["exception"]
        assert second["level"] == "error"

    def test_a_record_whose_arguments_do_not_fit_is_told_as_it_is(self, out: Out):
        out.configure()
        record = logging.LogRecord("lib", logging.WARNING, "f.py", 1, "%d of us", ("x",), None)
        LibraryRecords().handle(record)
        assert out.lines()[0]["message"] == "%d of us"

    def test_configuring_again_does_not_double_them(self, out: Out):
        out.configure()
        out.configure()
        logging.getLogger("lib").warning("w")
        assert len(out.lines()) == 1
