"""Questions to a metrics port, and to what is none."""

import socket

import pytest

from rookery.cli.cluster.asking import Unreachable, get, post, readiness
from tests.support.metrics_port import SECRET, Admin, metrics_port
from tests.support.web_server import GARBAGE, HANG, RESET, Reply, web_server


def test_a_node_that_is_ready_and_one_that_is_not():
    with metrics_port() as address:
        assert readiness(address).ready
    with metrics_port(unready="fenced") as address:
        answer = readiness(address)
        assert (answer.ready, answer.reasons) == (False, ("cluster: fenced",))


def test_what_a_node_tells_and_does():
    admin = Admin("a", {"b": "up"})
    with metrics_port(admin) as address:
        assert get(address, "/cluster").data["node_id"] == "a"
        answer = post(address, "/cluster/force-leave", SECRET, {"node_id": "b"}, 5)
        assert (answer.status_code, answer.data["sessions_moved"]) == (200, 5)
        assert post(address, "/cluster/leave", "wrong", {}, 5).status_code == 401
        assert "Bearer" in post(address, "/cluster/leave", "wrong", {}, 5).error
    assert admin.asked == [("force-leave", {"node_id": "b"})]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (HANG, "no answer within 0.2 s"),
        (RESET, "(reset by peer|closed connection)"),
        (GARBAGE, "an answer that is not Rookery's"),
        (Reply(200, b"<html>"), "an answer that is not Rookery's"),
        (Reply(200, b"[]"), "an answer that is not Rookery's"),
    ],
)
def test_what_is_no_node(reply: object, told: str):
    with web_server() as server:
        server.answer = lambda asked: reply
        address = f"127.0.0.1:{server.port}"
        with pytest.raises(Unreachable, match=told):
            get(address, "/cluster", 0.2)
        assert not readiness(address, 0.2).ready
        server.released.set()


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    assert readiness(f"127.0.0.1:{port}").reasons == ("connection refused",)
