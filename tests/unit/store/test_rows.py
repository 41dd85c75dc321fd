import json
import sqlite3

import pytest

from rookery.records import ENTRIES_PER_BLOCK_MAX
from rookery.store import rows
from rookery.store.blocks import decode_block
from rookery.store.schema import COMMIT, COMMIT_SETUP, MIGRATIONS, PARTS
from tests.support.stores import group, session


def test_a_commit_has_a_value_for_each_part():
    cells = rows.commit_cells(group(3, b"x", sessions={1: session(1), 2: None}), 4, 3, None)
    assert len(cells) == len(PARTS)
    named = dict(zip(PARTS, cells, strict=True))
    assert named["blocks"] == f"[[3,1,{len(named['data'])}]]"
    assert named["sessions"] == '[[1,"c",60,12.5,null,3]]'
    assert named["sessions_gone"] == "[2]"
    assert named["progress"] is named["retained"] is named["blocks_gone"] is None


def test_without_entries_there_is_no_block():
    cells = rows.commit_cells(group(3, retained={"t": None}), 4, 3, 1.0)
    named = dict(zip(PARTS, cells, strict=True))
    assert (named["data"], named["blocks"], named["trimmed"], named["trimmed_kept"]) == (None,) * 4


def test_many_entries_are_many_blocks_in_one_value():
    entries = [b"%d" % index for index in range(2 * ENTRIES_PER_BLOCK_MAX + 1)]
    named = dict(zip(PARTS, rows.commit_cells(group(3, *entries), 6, 1, None), strict=True))
    found = []
    for block, begin, length in json.loads(named["blocks"]):
        found.append((block, decode_block(named["data"][begin - 1 :][:length])))
    assert [block for block, _ in found] == [3, 4, 5]
    assert [entry for _, part in found for entry in part] == entries
    assert [len(part) for _, part in found] == [ENTRIES_PER_BLOCK_MAX, ENTRIES_PER_BLOCK_MAX, 1]


def test_what_is_kept_of_trimmed_blocks_comes_in_one_list():
    made = group(9, trimmed={4: [256, 260], 7: [450]})
    named = dict(zip(PARTS, rows.commit_cells(made, 9, 1, None), strict=True))
    assert (named["trimmed"], named["trimmed_kept"]) == ("[4,7]", "[256,260,450]")


@pytest.mark.parametrize(
    ("decode", "row"),
    [
        (rows.session_of, (1, b"c", 60, 1.0, None, 0)),
        (rows.session_of, (1, "c", 60, "then", None, 0)),
        (rows.session_of, (1, "c", 60, 1.0, "xy", 0)),
        (rows.subscription_of, (1, None, 0, 0, 0, 0, 0)),
        (rows.progress_of, (1, 2, 3, "[4")),
        (rows.progress_of, (1, 2, 3, '["4"]')),
        (rows.inbound_of, (1, "2")),
        (rows.outbound_of, (1, 2, 3.5, 0)),
        (rows.retained_of, (1, 2)),
        (rows.fact_of, ("a", b"")),
        (rows.fact_of, ("a", "0")),
        (rows.kept_of, ("1", b"x")),
        (rows.kept_of, (1, "x")),
    ],
)
def test_a_damaged_row_is_refused(decode, row):
    with pytest.raises((TypeError, ValueError)):
        decode(row)


def test_without_meta_nothing_is_loaded():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(";".join([*MIGRATIONS, COMMIT_SETUP]))
    connection.execute(
        COMMIT, rows.commit_cells(group(7, b"x", sessions={5: session(5)}), 1, 1, None)
    )
    loaded = rows.load(connection)
    assert (loaded.next_block, loaded.next_number) == (8, 6)
    connection.execute("DELETE FROM meta")
    with pytest.raises(ValueError, match="meta is empty"):
        rows.load(connection)
    connection.close()
