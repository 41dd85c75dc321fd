"""The shortest form of one row, with real nodes; its figures are not looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import rookery

ROOT = Path(__file__).parents[3]


def test_a_row_is_measured_and_nothing_is_left_running(tmp_path: Path) -> None:
    interpreted = Path(rookery.__file__).is_relative_to(ROOT / "src")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "rookery_bench", "cluster", "--short", "--rows", "qos1"),
            *("--peers", "none", "--json", "--directory", str(tmp_path)),
            *(["--interpreted"] if interpreted else []),
        ],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, **({"PYTHONPATH": str(ROOT / "src")} if interpreted else {})},
        timeout=55,
    )
    assert done.returncode == 0, done.stderr.decode()
    (row,) = json.loads(done.stdout)["rows"]
    figures = {line["label"]: line["figures"] for line in row["lines"]}
    assert figures["a node alone"]["brokers us/msg"] > 0
    assert figures["rookery, node to node"]["brokers us/msg"] > 0
    assert figures["rookery, node to node"]["nats servers us/msg"] >= 0
    left = [
        pid
        for pid in Path("/proc").iterdir()
        if pid.name.isdecimal() and str(tmp_path).encode() in command_line(pid)
    ]
    assert left == []
    assert [each.name for each in tmp_path.iterdir()] == ["benches"]


def command_line(pid: Path) -> bytes:
    try:
        return (pid / "cmdline").read_bytes()
    except OSError:
        return b""
