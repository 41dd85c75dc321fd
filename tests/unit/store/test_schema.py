import re
import sqlite3

import pytest

from rookery.store.schema import COMMIT, COMMIT_SETUP, MIGRATIONS, PARTS, TABLES, VERSION


@pytest.fixture
def connection():
    made = sqlite3.connect(":memory:", isolation_level=None)
    for script in MIGRATIONS:
        made.executescript(script)
    made.executescript(COMMIT_SETUP)
    yield made
    made.close()


def test_the_columns_are_those_of_the_tables(connection: sqlite3.Connection):
    for table, columns in TABLES.items():
        found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        assert tuple(found) == columns
    assert len(MIGRATIONS) == VERSION


def test_a_commit_of_nothing_changes_nothing(connection: sqlite3.Connection):
    connection.execute(COMMIT, [None] * len(PARTS))
    assert connection.execute("SELECT * FROM meta").fetchall() == [(1, 1, 1, 0.0)]


def test_removal_looks_up_keys_and_walks_no_table(connection: sqlite3.Connection):
    (trigger,) = connection.execute("SELECT sql FROM sqlite_temp_schema WHERE type = 'trigger'")
    statements = [
        each.strip() for each in trigger[0].split(";") if each.strip().startswith("DELETE")
    ]
    assert len(statements) == 14
    for statement in statements:
        literal = re.sub(r"json_each\(new\.\w+\)", "json_each('[]')", statement)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {literal}")]
        assert plan[0].startswith("SEARCH"), (statement, plan)
        assert not any(step.startswith(("SCAN k", "SCAN log")) for step in plan), (statement, plan)


def test_numbers_never_go_back(connection: sqlite3.Connection):
    row = [None] * (len(PARTS) - 3)
    connection.execute(COMMIT, [*row, 9, 8, 5.0])
    connection.execute(COMMIT, [*row, 3, 2, 6.0])
    assert connection.execute("SELECT * FROM meta").fetchall() == [(1, 9, 8, 6.0)]
