import platform
from pathlib import Path

from rookery_bench.environment import describe, describe_disk
from rookery_bench.peers import Peer


def test_machine_interpreter_and_brokers_are_named() -> None:
    found = describe([Peer("mosquitto", "2.0.11", lambda _setting: [], {})])
    assert found["mosquitto"] == "2.0.11"
    assert platform.python_version() in found["python"]
    assert platform.release() in found["kernel"]
    assert all(found.values())


def test_the_disk_is_named_with_what_a_sync_takes(tmp_path: Path) -> None:
    told = describe_disk(str(tmp_path))
    assert told.startswith(f"{tmp_path} on ")
    assert "fsync p50" in told
    assert " on ?" not in told


def test_a_file_system_in_memory_is_told_as_such() -> None:
    assert describe_disk("/dev/shm").startswith("/dev/shm on tmpfs, fsync p50 0.0")
