import pytest

from rookery.store.blocks import (
    count_of,
    decode_block,
    decode_piece,
    directory_range,
    encode_block,
    piece_range,
    split_block,
)

ENTRIES = [b"", b"a", bytes(range(256)) * 50, b""]


def cut(data: bytes, begin_and_length: tuple[int, int]) -> bytes:
    begin, length = begin_and_length
    return data[begin : begin + length]


@pytest.mark.parametrize("count", range(len(ENTRIES) + 1))
def test_all_entries_come_back(count: int):
    assert decode_block(encode_block(ENTRIES[:count])) == ENTRIES[:count]
    assert count_of(encode_block(ENTRIES[:count])) == count


@pytest.mark.parametrize("index", range(len(ENTRIES)))
def test_one_entry_is_found_alone(index: int):
    data = encode_block(ENTRIES)
    place = piece_range(cut(data, directory_range(index)))
    assert decode_piece(cut(data, place)) == ENTRIES[index]


@pytest.mark.parametrize("entries_max", [1, 3, 4, 9])
def test_a_block_is_split_into_smaller_ones(entries_max: int):
    parts = split_block(encode_block(ENTRIES), entries_max)
    found = [decode_block(part) for part in parts]
    assert [entry for part in found for entry in part] == ENTRIES
    assert max(map(len, found)) <= entries_max
    assert parts[0] == encode_block(ENTRIES[:entries_max])


def test_what_is_damaged_stays_damaged_where_it_is_split():
    data = bytearray(encode_block([b"first", b"second", b"third"]))
    data[-1] ^= 0xFF
    assert [decode_block(part) for part in split_block(bytes(data), 2)] == [
        [b"first", b"second"],
        [None],
    ]
    assert split_block(b"00000x", 2) == []


def test_no_flipped_bit_makes_another_entry():
    entries = [b"first", b"second", b"third"]
    data = encode_block(entries)
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x01
        found = decode_block(bytes(broken))
        assert len(found) in (0, 3), place
        assert all(entry in (None, entries[index]) for index, entry in enumerate(found)), place


def test_a_damaged_entry_spoils_no_other():
    data = bytearray(encode_block([b"first", b"second", b"third"]))
    data[-1] ^= 0xFF
    assert decode_block(bytes(data)) == [b"first", b"second", None]


def test_what_is_cut_short_is_damaged():
    data = encode_block([b"first", b"second"])
    assert decode_block(data[:-1]) == [b"first", None]
    assert decode_block(data[:20]) == []
    assert decode_block(b"") == []
    assert decode_piece(b"abc") is None
    assert piece_range(b"") == (0, 0)
