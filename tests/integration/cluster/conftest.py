"""Three NATS servers for the tests of one file."""

from collections.abc import Iterator

import pytest

from tests.support.nats_cluster import NatsCluster, nats_cluster


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with nats_cluster(3, tmp_path_factory.mktemp("nats")) as cluster:
        yield cluster
