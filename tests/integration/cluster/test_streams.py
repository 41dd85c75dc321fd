"""On which servers the streams of a node lie, on more real NATS servers than there are replicas."""

import asyncio
from collections.abc import Iterator

import pytest

from rookery.cluster import names
from rookery.cluster.leaders import servers_of
from rookery.cluster.streams import ensure_streams, stream_info
from tests.support.nats_cluster import NatsCluster, nats_cluster

WAIT_SECONDS_MAX = 55
NODES = ("n0", "N0", "n1", "n.2", "n3")
"""Two of them differ in a capital letter only, and one has a name that NATS does not take as it is."""


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with nats_cluster(len(NODES), tmp_path_factory.mktemp("five"), *NODES) as cluster:
        yield cluster


def test_what_a_node_has_lies_on_its_own_server_and_two_others(five: NatsCluster):
    async def one(index: int) -> None:
        own = names.server_name(NODES[index])
        async with five.connected(index) as jetstream:
            assert jetstream.server_name == own
            await ensure_streams(jetstream, NODES[index], 3, own)
            for stream in (names.log_stream(NODES[index]), names.snapshot_stream(NODES[index])):
                cluster = (await stream_info(jetstream, stream))["cluster"]
                assert own in servers_of(cluster), (stream, cluster)
                assert len(servers_of(cluster)) == 3
                assert not cluster.get("desired")

    async def main() -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX), asyncio.TaskGroup() as tasks:
            for index in range(len(NODES)):
                tasks.create_task(one(index))

    asyncio.run(main())
