"""Every value beside its origin."""

from pathlib import Path

from rookery.config.explain import explain
from rookery.config.load import load


def test_each_value_has_its_origin_and_secrets_are_masked(tmp_path: Path):
    path = tmp_path / "f.yaml"
    path.write_text("broker:\n  auth:\n    users:\n      - {username: a, password: hunter2}\n")
    rows = {
        row.name: row for row in explain(load(path, {"PEER_NODES": "a,b"}, ["log.level=debug"]))
    }
    told = {name: (row.value, str(row.origin)) for name, row in rows.items()}
    assert told["broker.auth.users.0.username"] == ("a", f"{path}:4:20")
    assert told["broker.auth.users.0.password"] == ("***", f"{path}:4:33")
    assert told["broker.auth.users.0.enabled"] == (True, "default")
    assert told["broker.peer_nodes.1"] == ("b", "environment PEER_NODES")
    assert told["log.level"] == ("debug", "--set log.level=debug")
    assert told["listeners"] == ([], "default")
    assert told["mqtt.server_reference"] == (None, "default")
    assert "hunter2" not in repr(rows)
