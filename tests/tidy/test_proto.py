"""The code of the messages between nodes is what ``make proto`` writes, and every message and field says what it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.source import SRC

PROTO = SRC / "rookery" / "cluster" / "proto" / "cluster.proto"
WRITTEN = ("cluster_pb2.py", "cluster_pb2.pyi", "cluster_pb2_grpc.py")
DECLARED = re.compile(r"^\s*(?:message|service|rpc|oneof|[\w.<>, ]+ \w+ = \d+;)")
UNDOCUMENTED = re.compile(r"^\s*oneof ")


def undocumented(text: str) -> list[str]:
    """The declarations that follow neither a comment nor, within a group of fields, a documented one."""
    found = []
    told = False
    for line in text.splitlines():
        if line.strip().startswith("//"):
            told = True
        elif DECLARED.match(line) and not UNDOCUMENTED.match(line):
            if not told:
                found.append(line.strip())
            told = told and line.rstrip().endswith(";")
        else:
            told = False
    return found


def test_the_written_code_is_that_of_the_messages(tmp_path: Path):
    pytest.importorskip("grpc_tools", reason="no compiler of protocol buffers: CODE NOT COMPARED")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            "-I",
            str(SRC),
            f"--python_out={tmp_path}",
            f"--pyi_out={tmp_path}",
            f"--grpc_python_out={tmp_path}",
            str(PROTO),
        ],
        check=True,
    )
    folder = tmp_path / PROTO.parent.relative_to(SRC)
    changed = [
        name
        for name in WRITTEN
        if (folder / name).read_bytes() != (PROTO.parent / name).read_bytes()
    ]
    assert changed == [], "make proto writes it anew"


def test_every_message_and_field_is_documented():
    assert undocumented(PROTO.read_text()) == []


class TestTheRuleItself:
    def test_a_field_without_a_comment_is_found(self):
        text = "// A\nmessage A {\n  // b\n  int32 b = 1;\n\n  string c = 2;\n}\nmessage D {}"
        assert undocumented(text) == ["string c = 2;", "message D {}"]
