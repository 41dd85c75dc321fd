"""Names of streams and subjects: safe whatever a node is called, and never the same for two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.cluster.names import (
    TOKEN_BYTES_MAX,
    log_stream,
    log_subject,
    register_subject,
    server_name,
    server_tag,
    snapshot_subject,
    token,
)

SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=")
ODD = ["a.b", "a b", "*", ">", "a/b", "..", "ä", "=61", "a=62", "$JS", "\x00", "x" * 300, "'\""]


@pytest.mark.parametrize("node_id", ODD)
def test_odd_ids_become_one_token(node_id: str):
    assert set(token(node_id)) <= SAFE
    assert len(log_subject(node_id).split(".")) == 2


def test_a_plain_id_is_readable():
    assert log_stream("node-1_a") == "LOG_node-1_a"
    assert log_subject("node-1") == "log.node-1"
    assert snapshot_subject("node-1", "4f", "0") == "snap.node-1.4f.0"
    assert register_subject(2, "node 1") == "reg.2.node=201"
    assert register_subject(2, "*") == "reg.2.*"


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_two_nodes_never_share_a_name(one: str, other: str):
    assert len(token(one)) <= TOKEN_BYTES_MAX
    assert (token(one) == token(other)) == (one == other)


def test_long_ids_differ_where_their_beginnings_do_not():
    assert token("x" * 300 + "a") != token("x" * 300 + "b")


def test_no_id_is_refused():
    with pytest.raises(ValueError, match="at least one character"):
        token("")


def test_tags_differ_where_capital_letters_do():
    assert server_tag(server_name("node-1")) == "node:node-1"
    tags = {server_tag(server_name(each)).lower() for each in ("a", "A", "=41", "=61", "==41")}
    assert len(tags) == 5
