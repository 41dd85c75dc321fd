from dataclasses import replace
from typing import Any

import pytest

from rookery.cluster.handshake import Identity, check_hello, check_proof, mac_of, proof
from rookery.cluster.refusals import Refusal

OWN = Identity("c", "n1", "b1", "1")
PEER = Identity("c", "n2", "b1", "1")


def test_two_of_one_cluster_have_nothing_against_each_other():
    check_hello(OWN, PEER.hello())


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"cluster": "d"}, "other_cluster: node n1 belongs to cluster c, node n2 to cluster d"),
        ({"protocol_major": 7}, "other_protocol: .* speaks protocol 2, node n2 .* speaks 7"),
        ({"node_id": "n1"}, "same_id: the address leads node n1 to itself"),
        ({"node_id": "n1", "boot": "b2"}, "same_id: two nodes have the id n1"),
        ({"node_id": ""}, "malformed: "),
        ({"boot": "b" * 256}, "malformed: "),
        ({"challenge": b"short"}, "malformed: "),
    ],
)
def test_others_are_refused(changed: dict[str, Any], text: str):
    hello = PEER.hello()
    for name, value in changed.items():
        setattr(hello, name, value)
    with pytest.raises(Refusal, match=text):
        check_hello(OWN, hello)


def test_a_proof_holds_for_both_challenges_one_role_and_one_secret():
    ours, theirs = OWN.hello(3), PEER.hello()
    mac = proof(b"secret", "dialler", ours, theirs)
    check_proof(b"secret", "dialler", ours, theirs, mac)
    for secret, role, dialler, acceptor in (
        (b"other", "dialler", ours, theirs),
        (b"secret", "acceptor", ours, theirs),
        (b"secret", "dialler", OWN.hello(3), theirs),
        (b"secret", "dialler", ours, PEER.hello()),
        (b"secret", "dialler", theirs, ours),
    ):
        with pytest.raises(Refusal, match="wrong_secret"):
            check_proof(secret, role, dialler, acceptor, mac)


@pytest.mark.parametrize("field", ["cluster", "node_id", "boot", "software"])
def test_a_proof_covers_who_it_is_of(field: str):
    ours, theirs = OWN.hello(), PEER.hello()
    mac = proof(b"secret", "acceptor", ours, theirs)
    changed = replace(PEER, **{field: "x"}).hello()
    changed.challenge = theirs.challenge
    with pytest.raises(Refusal):
        check_proof(b"secret", "acceptor", ours, changed, mac)


def test_a_secret_on_one_side_only_is_said_so():
    ours, theirs = OWN.hello(), PEER.hello()
    check_proof(None, "dialler", theirs, ours, proof(None, "dialler", theirs, ours))
    with pytest.raises(Refusal, match=r"node n1 asks for the secret .*, and node n2 has none"):
        check_proof(b"secret", "dialler", theirs, ours, b"")
    with pytest.raises(Refusal, match="node n2 has a secret, and node n1 has none"):
        check_proof(None, "acceptor", ours, theirs, bytes(32))


def test_fields_cannot_run_into_each_other():
    assert mac_of(b"k", b"ab", b"c") != mac_of(b"k", b"a", b"bc")
    assert mac_of(b"k", b"ab", b"") != mac_of(b"k", b"ab")


def test_no_challenge_comes_twice():
    assert OWN.hello().challenge != OWN.hello().challenge
