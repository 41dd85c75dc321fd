import itertools

import numpy as np
import pytest

from rookery_bench import wire
from rookery_bench.blocks import (
    AckBlock,
    AckSeries,
    PublishBlock,
    Run,
    TopicsBlock,
    find_runs,
    packet_ids,
)

PUBLISH_BYTES = 10
SIZES = {0x34: PUBLISH_BYTES, wire.PUBREL: 4}


def stream(kinds: str) -> bytes:
    """A ``p`` is a PUBLISH full of bytes that look like a PUBREL's first, an ``r`` the reverse."""
    packets = {"p": b"\x34" + b"\x62" * 9, "r": b"\x62\x34\x34\x34"}
    return b"".join(packets[kind] for kind in kinds)


def runs_of(kinds: str) -> list[Run]:
    runs, offset = [], 0
    for kind, group in itertools.groupby(kinds):
        first_byte = 0x34 if kind == "p" else 0x62
        count = len(list(group))
        runs.append(Run(first_byte, offset, count))
        offset += count * SIZES[first_byte]
    return runs


@pytest.mark.parametrize(
    "kinds", ["", "p", "r", "pr", "p" * 500, "r" * 17 + "p" * 16 + "r" * 300 + "p" * 257, "pr" * 40]
)
def test_runs_are_found(kinds: str) -> None:
    data = stream(kinds)
    assert find_runs(memoryview(data), SIZES) == (runs_of(kinds), len(data))


def test_half_a_packet_is_left() -> None:
    whole = stream("pprp")
    for size in range(len(whole)):
        _, covered = find_runs(memoryview(whole)[:size], SIZES)
        assert covered == max(end for end in (0, 10, 20, 24) if end <= size)


def test_an_unknown_packet_is_refused() -> None:
    with pytest.raises(wire.WireError, match="e0 00"):
        find_runs(memoryview(stream("p") + b"\xe0\x00"), SIZES)


def test_packet_ids_go_round_without_zero() -> None:
    assert packet_ids(0, 3).tolist() == [1, 2, 3]
    assert packet_ids(65_533, 4).tolist() == [65_534, 65_535, 1, 2]
    assert packet_ids(65_535 * 7, 2).tolist() == [1, 2]


@pytest.mark.parametrize("version", [wire.V3_1_1, wire.V5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_block_is_a_stream_of_packets(qos: int, version: int) -> None:
    block = PublishBlock("a/topic", qos, version, publisher=7)
    layout = wire.publish_layout("a/topic", qos, version)
    block.fill(0, block.rows_max, 1)
    data = bytes(block.fill(65_534, 3, 123_456))
    assert len(data) == 3 * layout.itemsize
    rows = np.frombuffer(data, layout)
    assert rows["number"].tolist() == [65_534, 65_535, 65_536]
    assert rows["sent_ns"].tolist() == [123_456] * 3
    assert rows["publisher"].tolist() == [7] * 3
    if qos:
        assert rows["packet_id"].tolist() == [65_535, 1, 2]
    first = wire.take_packet(data)
    assert first is not None
    assert first[0] == wire.PUBLISH | qos << 1
    assert first[1].startswith(b"\x00\x07a/topic")
    assert first[2] == layout.itemsize


def test_a_full_block_fits_in_one_send() -> None:
    block = PublishBlock("a/topic", 0, wire.V3_1_1, 0)
    assert 64_000 < len(block.fill(0, block.rows_max, 0)) <= 65_536


def test_acks_are_laid_out_as_the_standard_says() -> None:
    acks = AckBlock(wire.PUBREC).fill(np.array([1, 513], ">u2"))
    assert bytes(acks) == b"\x50\x02\x00\x01\x50\x02\x02\x01"


def test_a_series_of_acks_follows_the_packet_ids() -> None:
    series = AckSeries(wire.PUBACK)
    assert series.take(0, 2) == b"\x40\x02\x00\x01\x40\x02\x00\x02"
    assert series.take(65_534 + 65_535, 2) == b"\x40\x02\xff\xff\x40\x02\x00\x01"


def test_topics_take_turns_and_count_for_themselves() -> None:
    topics = ["a/0", "a/1", "a/2"]
    layout = wire.publish_layout(topics[0], 1, wire.V3_1_1)
    rows = np.frombuffer(TopicsBlock(topics, 1, wire.V3_1_1).fill(4, 5, 9), layout)
    assert rows["publisher"].tolist() == [1, 2, 0, 1, 2]
    assert rows["number"].tolist() == [1, 1, 2, 2, 2]
    assert rows["packet_id"].tolist() == [5, 6, 7, 8, 9]
    assert rows["sent_ns"].tolist() == [9] * 5
    for row, topic in zip(rows, ["a/1", "a/2", "a/0", "a/1", "a/2"], strict=True):
        head = wire.publish_head(topic, 1, wire.V3_1_1)
        assert row["head"].tobytes() == head
        assert row.tobytes()[: layout.itemsize].endswith(b"." * 44)
