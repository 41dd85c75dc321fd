from pathlib import Path

import pytest

from rookery.cluster.security import LinkFault, LinkSecurity, LinkTls
from tests.support.certificates import Authority
from tests.support.links import LinkNode, linked, nodes, run


def test_a_port_that_is_taken_is_said_so():
    async def work() -> None:
        one = LinkNode("n1")
        async with nodes(one) as addresses:
            with pytest.raises(
                LinkFault, match=f"cannot listen for other nodes at {addresses['n1']}"
            ):
                await LinkNode("n2", bind=addresses["n1"]).links.start()

    run(work())


def test_files_that_are_no_certificates_are_named(tmp_path: Path):
    authority = Authority(tmp_path)
    pair, other = authority.node("one"), authority.node("other")

    async def work(tls: LinkTls, text: str) -> None:
        with pytest.raises(LinkFault, match=text):
            await LinkNode("n1", security=LinkSecurity(tls=tls)).links.start()

    run(work(LinkTls(pair.certificate, other.private_key, authority.certificate), "one.pem with"))
    run(work(LinkTls(pair.certificate, pair.private_key, tmp_path / "none"), "none cannot be used"))


def test_a_link_can_be_asked_for_while_it_is_up():
    async def work() -> None:
        one, other = LinkNode("n1"), LinkNode("n2")
        async with nodes(one, other):
            there, _ = await linked(one, other)
            assert one.links.up("n2") is there
            assert one.links.up("n1") is one.links.up("n3") is None
        assert one.links.up("n2") is None
        assert one.told.events[-1] == "down n2 this node stops"

    run(work())
