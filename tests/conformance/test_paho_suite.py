"""The interoperability suite of Eclipse Paho, run as it is against a broker of this project.

The suite is not part of this repository: clone the public repository eclipse-paho/paho.mqtt.testing into
``.cache/paho.mqtt.testing``, or name a clone by the variable ``PAHO_TESTING``.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = Path(os.environ.get("PAHO_TESTING", ROOT / ".cache" / "paho.mqtt.testing"))

CONFIGURATION = {
    "limits.receive_maximum": 20,
    "limits.keep_alive_seconds_max": 60,
    "authorization.default": "allow",
    "authorization.rules": [
        {
            "permission": "deny",
            "action": "subscribe",
            "topic_filter": "test/nosubscribe",
            "literal": True,  # The suite subscribes to "#" as well.
        }
    ],
}
"""What the suite expects to be set up: its own reference broker has these values built in."""

RUNNER = """
import functools, runpy, sys, unittest
# The suite's options are not options of unittest, which would read them again.
unittest.main = functools.partial(unittest.main, argv=["", *sys.argv.pop(1).split()], verbosity=2)
del sys.argv[0]
sys.path.insert(0, ".")
runpy.run_path(sys.argv[0], run_name="__main__")
"""

pytestmark = [
    pytest.mark.skipif(
        not (SUITE / "interoperability" / "client_test.py").is_file(),
        reason="the Paho suite is missing: clone the public repository eclipse-paho/paho.mqtt.testing "
        "into .cache/paho.mqtt.testing, or set PAHO_TESTING to a clone",
    ),
    pytest.mark.timeout(400),
]


def failed_tests(program: str, names: str, port: int) -> tuple[int, list[str], str]:
    """Run one program of the suite: how many tests ran, the names of those that failed, what it said."""
    options = ["--hostname=127.0.0.1", "-p", str(port)]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, names, program, *options],
        cwd=SUITE / "interoperability",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=390,
        check=False,
    )
    ran = re.search(r"^Ran (\d+) tests", done.stdout, re.MULTILINE)
    assert ran, done.stdout
    failed = re.findall(r"^(?:FAIL|ERROR): (\w+)", done.stdout, re.MULTILINE)
    return int(ran[1]), failed, done.stdout


@pytest.mark.parametrize(
    ("program", "names", "tests", "failures_expected"),
    [
        # One test's name hides it from unittest.
        ("client_test.py", "Test Test.will_message_test", 11, []),
        # Its client takes no reason code but 0x80 in a SUBACK, where 5.0 has 0x87 for this case.
        ("client_test5.py", "Test", 27, ["test_subscribe_failure"]),
    ],
    ids=["v311", "v5"],
)
def test_paho_interoperability(broker_with, program, names, tests, failures_expected):
    broker = broker_with(**CONFIGURATION)
    ran, failed, said = failed_tests(program, names, broker.port)
    assert ran >= tests, said
    assert failed == failures_expected, said
