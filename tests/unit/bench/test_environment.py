import platform

from rookery_bench.environment import describe
from rookery_bench.peers import Peer


def test_machine_interpreter_and_brokers_are_named() -> None:
    found = describe([Peer("mosquitto", "2.0.11", lambda _folder, _port: [], {})])
    assert found["mosquitto"] == "2.0.11"
    assert platform.python_version() in found["python"]
    assert platform.release() in found["kernel"]
    assert all(found.values())
