"""MQTT.js, the client of browsers and of Node.js, over every transport it has."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS_MAX = 40

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is absent: MQTT.js NOT TESTED"),
    pytest.mark.skipif(
        not (HERE / "node_modules" / "mqtt").is_dir(),
        reason="MQTT.js is absent (npm ci --prefix tests/integration): NOT TESTED",
    ),
]

URLS = {
    "tcp": "mqtt://{}:{}",
    "tls": "mqtts://{}:{}",
    "ws": "ws://{}:{}/mqtt",
    "wss": "wss://{}:{}/mqtt",
}


@pytest.mark.parametrize("version", [3, 4, 5], ids=["3.1", "3.1.1", "5"])
@pytest.mark.parametrize("over", list(URLS))
def test_everything_over(node, name, over, version):
    options = {
        "url": URLS[over].format(*node.address(over)),
        "version": version,
        "name": name,
        "ca": str(node.certificates.ca) if over in ("tls", "wss") else None,
    }
    done = subprocess.run(
        ["node", "client.mjs", json.dumps(options)],
        cwd=HERE,
        capture_output=True,
        check=False,
        timeout=SECONDS_MAX,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [each["qos"] for each in told["granted"]] == [2]
    first, *live = told["messages"]
    kept = {"topic": f"{name}/kept", "payload": "kept", "qos": 1, "retain": True}
    assert first == kept
    # The client shows a QoS 2 message at the end of its exchange: the order is that within a topic.
    for qos in range(3):
        taken = [each for each in live if each["topic"] == f"{name}/{qos}"]
        assert [int(each["payload"]) for each in taken] == list(range(50))
        assert {(each["qos"], each["retain"]) for each in taken} == {(qos, False)}
    assert {"topic": f"{name}/will", "payload": "gone", "qos": 1, "retain": False} in live
    assert [each["payload"] for each in told["later"]] == ["waited"]
    assert told["sessionPresent"] is (version != 3)  # The CONNACK of 3.1 has no place for it.
