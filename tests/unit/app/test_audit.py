import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from rookery.app.audit import AuditTrail
from rookery.auth.access.audit import read_audit
from rookery.auth.access.file import AccessFile
from rookery.auth.access.watch import AccessWatch
from tests.support.engine import FakeClock


def act(file: AccessFile, target: str) -> None:
    with file.change("op", 5.0) as change:
        change.audit("user add", target, "enabled")


def told(watch: AccessWatch) -> list[tuple[str, str, str, str]]:
    with capture_logs() as logs:
        watch.read()()
    assert {line["event"] for line in logs} <= {"audit"}
    return [(line["by"], line["action"], line["target"], line["detail"]) for line in logs]


def test_what_was_done_before_the_node_is_not_told_and_what_is_done_meanwhile_is_once(
    tmp_path: Path,
):
    file = AccessFile(tmp_path)
    watch = AccessWatch(file)
    act(file, "before")
    AuditTrail(file, watch, FakeClock())
    assert told(watch) == []
    act(file, "a")
    act(file, "b")
    assert told(watch) == [("op", "user add", "a", "enabled"), ("op", "user add", "b", "enabled")]
    assert told(watch) == []


def test_the_node_notes_what_it_does_itself(tmp_path: Path):
    file = AccessFile(tmp_path)
    watch = AccessWatch(file)
    trail = AuditTrail(file, watch, FakeClock())
    told(watch)
    asyncio.run(trail.note("config reload", "rookery.yaml", "log level info"))
    assert told(watch) == [("node", "config reload", "rookery.yaml", "log level info")]
    with file.reading() as connection:
        assert read_audit(connection)[0].by == "node"


def test_the_node_notes_who_asked_for_what_it_does(tmp_path: Path):
    file = AccessFile(tmp_path)
    watch = AccessWatch(file)
    trail = AuditTrail(file, watch, FakeClock())
    told(watch)
    asyncio.run(trail.note("cluster leave", "a", by="anna"))
    assert told(watch) == [("anna", "cluster leave", "a", "")]
    with capture_logs() as logs:
        asyncio.run(AuditTrail(None, AccessWatch(None), FakeClock()).note("x", "a", by="anna"))
    assert [line["by"] for line in logs] == ["anna"]


def test_a_database_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "access.db").write_text("no database" * 1_000)
    file = AccessFile(tmp_path)
    trail = AuditTrail(file, AccessWatch(file), FakeClock())
    with capture_logs() as logs:
        asyncio.run(trail.note("config reload", "x"))
    assert [line["event"] for line in logs] == ["audit_not_written"]


def test_without_a_database_the_log_has_it():
    trail = AuditTrail(None, AccessWatch(None), FakeClock())
    with capture_logs() as logs:
        asyncio.run(trail.note("config reload", "x", "y"))
    assert [(line["event"], line["target"]) for line in logs] == [("audit", "x")]
