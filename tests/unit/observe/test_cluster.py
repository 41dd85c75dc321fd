"""The cluster on the metrics port: who may look, who may act, and what is said otherwise."""

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from rookery.observe.cluster import ACTIONS, ARGUMENTS_BYTES_MAX, ClusterAdmin, ClusterRefusal
from rookery.observe.health import Health
from rookery.observe.http import ObserveServer, observe_app

SECRET = "0123456789abcdef"
GOOD = {"Authorization": f"Bearer {SECRET}"}


class Admin:
    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.addresses: list[str] = []

    def status(self) -> dict[str, Any]:
        return {"node_id": "a", "members": []}

    async def act(self, action: str, arguments: dict[str, Any], address: str) -> dict[str, Any]:
        self.asked.append((action, arguments))
        self.addresses.append(address)
        if arguments.get("node_id") == "a":
            raise ClusterRefusal("a lives")
        return {"done": action}


def ask(
    method: str,
    path: str,
    admin: ClusterAdmin | None,
    secret: str | None = SECRET,
    **options: Any,
) -> httpx.Response:
    async def run() -> httpx.Response:
        server = ObserveServer(CollectorRegistry(), Health(), admin, secret)
        port = await server.start("127.0.0.1", 0)
        try:
            base = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
                return await client.request(method, path, **options)
        finally:
            await server.stop()

    return asyncio.run(run())


def test_anybody_may_look():
    answer = ask("GET", "/cluster", Admin())
    assert (answer.status_code, answer.json()) == (200, {"node_id": "a", "members": []})
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("method", "path"), [("GET", "/cluster"), ("POST", "/cluster/leave")])
def test_a_node_on_its_own_says_so(method: str, path: str):
    answer = ask(method, path, None, headers=GOOD)
    assert answer.status_code == 404
    assert answer.json() == {"error": "this node is on its own: cluster.enabled is false"}


@pytest.mark.parametrize("action", ACTIONS)
def test_who_knows_the_secret_may_act(action: str):
    admin = Admin()
    answer = ask("POST", f"/cluster/{action}", admin, headers=GOOD, json={"node_id": "b"})
    assert (answer.status_code, answer.json()) == (200, {"done": action})
    assert admin.asked == [(action, {"node_id": "b"})]


def test_no_arguments_are_none():
    admin = Admin()
    assert ask("POST", "/cluster/leave", admin, headers=GOOD).status_code == 200
    assert admin.asked == [("leave", {})]


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", f"Basic {SECRET}", "Bearer wrong", SECRET, "Bearer \xe9"],
)
def test_nobody_else_may(given: str | None):
    admin = Admin()
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    answer = ask("POST", "/cluster/leave", admin, headers=headers)
    assert (answer.status_code, admin.asked) == (401, [])
    assert answer.headers["www-authenticate"] == "Bearer"
    assert SECRET not in answer.text


def test_without_a_secret_nobody_may():
    admin = Admin()
    answer = ask("POST", "/cluster/leave", admin, None, headers={"Authorization": "Bearer"})
    assert (answer.status_code, admin.asked) == (403, [])
    assert "cluster.secret is not set" in answer.json()["error"]


@pytest.mark.parametrize(
    ("host", "status_code"),
    [("127.0.0.9", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("192.0.2.1", 403), ("x", 403)],
)
def test_one_acts_from_the_nodes_own_machine(host: str, status_code: int):
    admin = Admin()

    async def run() -> httpx.Response:
        app = observe_app(CollectorRegistry(), Health(), admin, SECRET)
        transport = httpx.ASGITransport(app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.post("/cluster/leave", headers=GOOD)

    assert asyncio.run(run()).status_code == status_code
    assert admin.addresses == ([host] if status_code == 200 else [])


def test_what_the_cluster_refuses_is_told():
    answer = ask("POST", "/cluster/force-leave", Admin(), headers=GOOD, json={"node_id": "a"})
    assert (answer.status_code, answer.json()) == (409, {"error": "a lives"})


def test_an_unknown_action_is_told_the_known_ones():
    admin = Admin()
    answer = ask("POST", "/cluster/explode", admin, headers=GOOD)
    assert (answer.status_code, admin.asked) == (404, [])
    assert "leave, evacuate, force-leave, rebalance" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "status_code"),
    [(b"{", 400), (b"\xff", 400), (b"[]", 400), (b" " * (ARGUMENTS_BYTES_MAX + 1), 413)],
)
def test_arguments_that_are_none(body: bytes, status_code: int):
    admin = Admin()
    answer = ask("POST", "/cluster/leave", admin, headers=GOOD, content=body)
    assert (answer.status_code, admin.asked) == (status_code, [])


def test_one_does_not_act_by_looking():
    admin = Admin()
    assert ask("GET", "/cluster/leave", admin, headers=GOOD).status_code == 405
    assert ask("POST", "/cluster", admin, headers=GOOD).status_code == 405
    assert admin.asked == []
