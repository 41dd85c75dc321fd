"""Links over real sockets: several nodes in one loop, and processes where a test kills or stops one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rookery.cluster.security import LinkSecurity, LinkTls
from rookery.cluster.status import ask_status
from tests.support.certificates import Authority, Pair
from tests.support.cut_proxy import CutProxy, Direction
from tests.support.link_process import LinkProcess
from tests.support.links import LinkNode, linked, nodes, run

DOWN_SECONDS_MAX = 2.5
"""A peer that is silent is down within 2 s; the rest is for a busy machine."""


def test_frames_arrive_whole_and_in_order_both_ways_and_share_messages():
    async def work() -> None:
        one, other = LinkNode("n1"), LinkNode("n2")
        frames = [f"{number}:".encode() + os.urandom(number % 700) for number in range(10_000)]
        async with nodes(one, other):
            there, back = await linked(one, other)
            for frame in frames:
                there.send(frame)
                back.send(frame[::-1])
            await one.told.until(lambda: one.told.count("n2") == len(frames))
            await other.told.until(lambda: other.told.count("n1") == len(frames))
            assert other.told.frames["n1"] == frames
            assert one.told.frames["n2"] == [frame[::-1] for frame in frames]
            assert other.told.calls < 200, "small frames that wait share a message"
            assert there.unsent_bytes == back.unsent_bytes == 0

    run(work())


def test_frames_of_any_size_arrive_whole():
    async def work() -> None:
        one, other = LinkNode("n1"), LinkNode("n2")
        sizes = (0, 1, 262_144, 262_145, 1 << 20, (1 << 20) + 1, 9_999_999, 3)
        frames = [os.urandom(size) for size in sizes]
        async with nodes(one, other):
            there, _ = await linked(one, other)
            for frame in frames:
                there.send(frame)
            await other.told.until(lambda: other.told.count("n1") == len(frames))
            assert other.told.frames["n1"] == frames

    run(work())


def test_three_nodes_have_one_link_each_and_an_idle_one_stays_up():
    async def work() -> None:
        made = [LinkNode(f"n{number}") for number in (1, 2, 3)]
        async with nodes(*made):
            for one in made:
                for other in made:
                    if one is not other:
                        await linked(one, other)
            await asyncio.sleep(2.0)  # longer than what silence is allowed
            for node in made:
                assert len(node.told.events) == 2, node.told.events

    run(work())


def test_what_a_peer_does_not_take_is_counted_until_it_does():
    async def work() -> None:
        one, other = LinkNode("n1"), LinkNode("n2")
        async with behind_proxy(one, other) as proxy:
            there, _ = await linked(one, other)
            proxy.cut("to_target")
            for _ in range(64):
                there.send(bytes(1 << 20))
            await asyncio.sleep(0.3)
            assert 16 << 20 < there.unsent_bytes <= 64 << 20
            proxy.heal()
            await other.told.until(lambda: other.told.count("n1") == 64)
            assert there.unsent_bytes == 0

    run(work())


def test_a_link_that_is_closed_comes_up_again():
    async def work() -> None:
        one, other = LinkNode("n1"), LinkNode("n2")
        async with nodes(one, other):
            for closing in (one, other):
                there, back = await linked(one, other)
                closing.told.events.clear()
                link = there if closing is one else back
                link.close("enough")
                link.send(b"into the void")
                peer = "n2" if closing is one else "n1"
                assert await closing.told.said(f"down {peer}") == f"down {peer} enough"
                await closing.told.said(f"up {peer} b1")
            await linked(one, other)
            assert one.told.frames == other.told.frames == {}

    run(work())


def test_who_is_no_member_any_more_has_no_link():
    async def work() -> None:
        one, other = LinkNode("n1"), LinkNode("n2")
        async with nodes(one, other) as addresses:
            await linked(one, other)
            other.links.set_members({"n2": addresses["n2"]})
            assert "no member" in await other.told.said("down n1")
            await one.told.said("down n2")
            await one.problem("knows no member of the id n1")
            other.links.set_members(addresses)
            await linked(one, other)
            assert one.links.problems() == []

    run(work())


@pytest.mark.parametrize("node_id", ["n1", "n3"])
def test_a_kill_is_noticed_at_once_and_the_next_boot_is_linked(node_id: str):
    """As the one that dials, and as the one that is dialled."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        node = LinkNode(node_id)
        async with nodes(node) as addresses:
            async with LinkProcess("n2") as peer:
                members = addresses | {"n2": peer.address}
                node.links.set_members(members)
                peer.members(members)
                await node.told.said("up n2 b1")
                frames = [b"%d" % number for number in range(10_000)]
                for frame in frames:
                    node.told.links["n2"].send(frame)
                await node.told.until(lambda: node.told.count("n2") == len(frames))
                assert node.told.frames["n2"] == frames
                begin = loop.time()
                peer.signal(signal.SIGKILL)
                await node.told.said("down n2")
                assert loop.time() - begin < 1.0, "no silence was needed to find it"
            async with LinkProcess("n2", "b2", peer.address) as peer:
                peer.members(members)
                assert await node.told.said("up n2") == "up n2 b2"

    run(work())


@pytest.mark.parametrize("node_id", ["n1", "n3"])
def test_a_stopped_process_is_down_soon_and_back_when_it_goes_on(node_id: str):
    async def work() -> None:
        loop = asyncio.get_running_loop()
        node = LinkNode(node_id)
        async with nodes(node) as addresses, LinkProcess("n2") as peer:
            members = addresses | {"n2": peer.address}
            node.links.set_members(members)
            peer.members(members)
            await node.told.said("up n2")
            begin = loop.time()
            peer.signal(signal.SIGSTOP)
            assert "nothing was heard" in await node.told.said("down n2")
            assert 1.0 < loop.time() - begin < DOWN_SECONDS_MAX
            peer.signal(signal.SIGCONT)
            await node.told.said("up n2")
            for expected in ("up", "down", "up"):
                assert (await peer.line()).startswith(f"{expected} {node_id}")
            node.told.links["n2"].send(b"still there")
            await node.told.until(lambda: node.told.count("n2"))

    run(work())


@pytest.mark.parametrize("unsent", [0, 64], ids=["idle", "full"])
@pytest.mark.parametrize("direction", ["to_target", "to_client"])
def test_a_cut_in_one_direction_is_down_for_both(direction: Direction, unsent: int):
    async def work() -> None:
        loop = asyncio.get_running_loop()
        one, other = LinkNode("n1"), LinkNode("n2")
        async with behind_proxy(one, other) as proxy:
            links = await linked(one, other)
            begin = loop.time()
            proxy.cut(direction)
            for link in unsent * links:
                link.send(bytes(1 << 20))
            await one.told.said("down n2")
            await other.told.said("down n1")
            assert 1.0 < loop.time() - begin < DOWN_SECONDS_MAX
            proxy.heal()
            there, back = await linked(one, other)
            there.send(b"there")
            back.send(b"back")
            await one.told.until(lambda: b"back" in one.told.frames.get("n2", ()))
            await other.told.until(lambda: b"there" in other.told.frames.get("n1", ()))

    run(work())


@asynccontextmanager
async def behind_proxy(one: LinkNode, other: LinkNode) -> AsyncIterator[CutProxy]:
    """Both running, and the first one dials the other by a proxy."""
    async with AsyncExitStack() as stack:
        there = (await stack.enter_async_context(nodes(other)))["n2"]
        proxy = await stack.enter_async_context(CutProxy("127.0.0.1", int(there.split(":")[1])))
        here = await stack.enter_async_context(nodes(one))
        other.links.set_members(here)
        one.links.set_members({"n2": proxy.address})
        yield proxy


REFUSED = [
    ({"cluster": "another"}, "node n2 belongs to cluster test, node n1 to cluster another"),
    ({"security": LinkSecurity(b"a secret of others")}, "do not have the same secret"),
    ({"security": LinkSecurity()}, "asks for the secret of the cluster, and node n1 has none"),
]


@pytest.mark.parametrize(("changed", "text"), REFUSED)
def test_who_does_not_belong_is_refused_and_both_say_why(changed: dict[str, Any], text: str):
    async def work() -> None:
        one, other = LinkNode("n1", **changed), LinkNode("n2")
        async with nodes(one, other):
            assert text in await one.problem(text)
            assert text in await other.problem(text)
            assert one.told.events == other.told.events == []

    run(work())


def test_a_secret_that_only_the_dialler_has_is_a_wrong_one():
    async def work() -> None:
        one, other = LinkNode("n1"), LinkNode("n2", security=LinkSecurity())
        async with nodes(one, other):
            await one.problem("node n1 has a secret, and node n2 has none")
            await other.problem("node n1 has a secret, and node n2 has none")

    run(work())


def test_a_node_that_dials_itself_or_its_double_says_so():
    async def work() -> None:
        node, double = LinkNode("n1"), LinkNode("n1", boot="b2")
        async with nodes(node), nodes(double):
            node.links.set_members({"n2": node.links.address})
            await node.problem("the address leads node n1 to itself")
            node.links.set_members({"n2": double.links.address})
            await node.problem("two nodes have the id n1")

    run(work())


def test_a_node_id_is_not_given_up_while_its_node_is_alive():
    async def work() -> None:
        node, peer, double = LinkNode("n2"), LinkNode("n1"), LinkNode("n1", boot="b2")
        async with nodes(node, peer) as addresses:
            await linked(node, peer)
            async with nodes(double):
                double.links.set_members(addresses)
                await double.problem("another node of the id n1 is linked with node n2 and alive")
                assert node.told.events == ["up n1 b1"]
                await peer.links.stop()
                await node.told.said("down n1")
                assert await node.told.said("up n1") == "up n1 b2"

    run(work())


def test_another_node_than_the_one_that_was_dialled_is_refused():
    async def work() -> None:
        one, other = LinkNode("n1"), LinkNode("n2")
        async with nodes(one, other) as addresses:
            await linked(one, other)
            one.links.set_members({"n3": addresses["n2"]})
            await one.problem("node n3 is expected there, and node n2 answers")
            await other.problem("node n3 is expected there, and node n2 answers")

    run(work())


def tls(authority: Authority, pair: Pair, **changed: Any) -> LinkSecurity:
    return LinkSecurity(
        tls=LinkTls(pair.certificate, pair.private_key, authority.certificate, **changed)
    )


def test_certificates_of_one_authority_make_a_link(tmp_path: Path):
    async def work() -> None:
        authority = Authority(tmp_path)
        security = tls(authority, authority.node("node"))
        one, other = LinkNode("n1", security=security), LinkNode("n2", security=security)
        async with nodes(one, other) as addresses:
            there, _ = await linked(one, other)
            there.send(b"in private")
            await other.told.until(lambda: other.told.count("n1"))
            status = await ask_status(addresses["n2"], "test", security)
            assert status.peers[0].up

    run(work())


def test_certificates_may_name_node_ids_instead_of_hosts(tmp_path: Path):
    async def work() -> None:
        authority = Authority(tmp_path)
        made = [
            LinkNode(
                name, security=tls(authority, authority.node(name, hosts=(name,)), names="node")
            )
            for name in ("n1", "n2")
        ]
        pretender = LinkNode(
            "n0", security=tls(authority, authority.node("n7", hosts=("n7",)), names="node")
        )
        async with nodes(*made, pretender):
            await linked(*made)
            await pretender.problem("the certificate of node n0 has to name n0, and names n7")
            assert "n0" not in made[0].told.links

    run(work())


def test_a_certificate_of_another_authority_is_refused_on_either_side(tmp_path: Path):
    async def work() -> None:
        authority, others = Authority(tmp_path), Authority(tmp_path, "others")
        ours = tls(authority, authority.node("node"))
        stranger = others.node("stranger")
        assert ours.tls is not None
        # It trusts us, and that helps it nothing.
        theirs = LinkSecurity(
            tls=replace(
                ours.tls, certificate=stranger.certificate, private_key=stranger.private_key
            )
        )
        for ids in (("n1", "n2"), ("n2", "n1")):
            one, other = LinkNode(ids[0], security=ours), LinkNode(ids[1], security=theirs)
            async with nodes(one, other):
                await min(one, other, key=lambda node: node.node_id).problem("no link to node n2")
                assert one.told.events == other.told.events == []

    run(work())


def test_a_certificate_of_another_host_is_refused_on_either_side(tmp_path: Path):
    async def work() -> None:
        authority = Authority(tmp_path)
        ours = tls(authority, authority.node("node"))
        elsewhere = tls(authority, authority.node("far", hosts=("far.example",)))
        for ids, text in (
            (("n1", "n2"), "no link to node n2"),
            (("n2", "n1"), "has to name 127.0.0.1, and names far.example"),
        ):
            one, other = LinkNode(ids[0], security=ours), LinkNode(ids[1], security=elsewhere)
            async with nodes(one, other):
                await one.problem(text)
                assert one.told.events == other.told.events == []

    run(work())


def test_who_comes_without_tls_gets_nowhere(tmp_path: Path):
    async def work() -> None:
        authority = Authority(tmp_path)
        one = LinkNode("n1")
        other = LinkNode("n2", security=tls(authority, authority.node("node")))
        async with nodes(one, other):
            await one.problem("no link to node n2")
            assert one.told.events == other.told.events == []

    run(work())


def test_a_process_with_refused_links_writes_nothing_but_its_own_log():
    """Neither gRPC's core nor the end of the interpreter."""

    async def work() -> None:
        node = LinkNode("n3", cluster="another")
        async with nodes(node) as addresses, LinkProcess("n2") as peer:
            members = addresses | {"n2": peer.address, "n9": "127.0.0.1:1"}
            node.links.set_members(members)
            peer.members(members)
            await node.problem("belongs to cluster")
            assert await peer.end() == ""

    run(work())
