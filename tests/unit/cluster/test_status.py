import grpc
import pytest

from rookery.cluster.channels import open_channel
from rookery.cluster.proto.cluster_pb2 import StatusReply, StatusRequest
from rookery.cluster.proto.cluster_pb2_grpc import (
    ClusterServicer,
    ClusterStub,
    add_ClusterServicer_to_server,
)
from rookery.cluster.refusals import Refusal
from rookery.cluster.security import LinkFault, LinkSecurity
from rookery.cluster.status import CHALLENGE_KEY, PROOF_KEY, ask_status, request_mac
from tests.support.links import SECRET, LinkNode, linked, nodes, run


def test_a_node_says_who_it_is_to_who_knows_the_secret():
    async def work() -> None:
        one = LinkNode("n1", facts=lambda: {"ready": "yes"})
        other = LinkNode("n2")
        async with nodes(one, other) as addresses:
            await linked(one, other)
            status = await ask_status(addresses["n1"], "test", SECRET)
            assert (status.node_id, status.boot, status.facts) == ("n1", "b1", {"ready": "yes"})
            [peer] = status.peers
            assert (peer.node_id, peer.address, peer.up) == ("n2", addresses["n2"], True)
            with pytest.raises(Refusal, match="wrong_secret"):
                await ask_status(addresses["n1"], "test", LinkSecurity(b"a secret of others"))
            with pytest.raises(Refusal, match="wrong_secret"):
                await ask_status(addresses["n1"], "test", LinkSecurity())
            with pytest.raises(Refusal, match="node n1 belongs to cluster test, not to other"):
                await ask_status(addresses["n1"], "other", SECRET)
        with pytest.raises(LinkFault, match=f"no answer from {addresses['n1']}"):
            await ask_status(addresses["n1"], "test", SECRET)

    run(work())


def test_a_recorded_question_is_not_answered_twice():
    async def work() -> None:
        node = LinkNode("n1")
        async with nodes(node) as addresses:
            channel = open_channel(addresses["n1"], None)
            stub = ClusterStub(channel)
            request = StatusRequest(cluster="test", challenge=bytes(32))
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.Status(request)
            challenge = dict(error.value.trailing_metadata())[CHALLENGE_KEY]
            mac = request_mac(SECRET.secret, request, challenge)
            metadata = ((CHALLENGE_KEY, challenge), (PROOF_KEY, mac))
            assert (await stub.Status(request, metadata=metadata)).node_id == "n1"
            with pytest.raises(grpc.aio.AioRpcError, match="wrong_secret"):
                await stub.Status(request, metadata=metadata)
            await channel.close()

    run(work())


def test_an_answer_without_the_secret_is_none():
    class Pretender(ClusterServicer):
        async def Status(self, request: StatusRequest, context: object) -> StatusReply:
            return StatusReply(cluster=request.cluster, node_id="n1", mac=bytes(32))

    async def work() -> None:
        server = grpc.aio.server()
        add_ClusterServicer_to_server(Pretender(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        with pytest.raises(Refusal, match="does not know the cluster's secret"):
            await ask_status(f"127.0.0.1:{port}", "test", SECRET)
        await server.stop(None)

    run(work())
