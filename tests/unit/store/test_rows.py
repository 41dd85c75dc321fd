import sqlite3

import pytest

from rookery.store import rows
from rookery.store.schema import COMMIT, COMMIT_SETUP, MIGRATIONS, PARTS
from tests.support.stores import group, session


def test_a_commit_has_a_value_for_each_part():
    cells = rows.commit_cells(group(3, b"x", sessions={1: session(1), 2: None}), 4, 3, None)
    assert len(cells) == len(PARTS)
    named = dict(zip(PARTS, cells, strict=True))
    assert named["block"] == 3
    assert named["sessions"] == '[[1,"c",60,12.5,null,3]]'
    assert named["sessions_gone"] == "[2]"
    assert named["progress"] is named["retained"] is named["blocks_gone"] is None


def test_without_entries_there_is_no_block():
    cells = rows.commit_cells(group(3, retained={"t": None}), 4, 3, 1.0)
    assert dict(zip(PARTS, cells, strict=True))["data"] is None


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
    ],
)
def test_a_damaged_row_is_refused(decode, row):
    with pytest.raises((TypeError, ValueError)):
        decode(row)


def test_without_meta_nothing_is_loaded():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(MIGRATIONS[0] + COMMIT_SETUP)
    connection.execute(
        COMMIT, rows.commit_cells(group(7, b"x", sessions={5: session(5)}), 1, 1, None)
    )
    loaded = rows.load(connection)
    assert (loaded.next_block, loaded.next_number) == (8, 6)
    connection.execute("DELETE FROM meta")
    with pytest.raises(ValueError, match="meta is empty"):
        rows.load(connection)
    connection.close()
