"""The fuzz target accepts its own seeds and notices a codec that is wrong."""

import pytest

from fuzz import decode
from rookery.mqtt.packets import PingReq

PUBLISH_SEED = b"\x07\x30\x04\0\x01ax"
"""3.1.1 from an opened client."""


def test_every_seed_holds():
    count = 0
    for seed in decode.seeds():
        decode.one_input(seed)
        count += 1
    assert count > 1000


def test_the_empty_input_is_nothing():
    decode.one_input(b"")


def test_a_wrong_encoding_is_noticed(monkeypatch):
    decode.one_input(PUBLISH_SEED)
    monkeypatch.setattr(decode, "encode_packet", lambda packet, version: b"\xc0\0")
    with pytest.raises(AssertionError):
        decode.one_input(PUBLISH_SEED)


def test_pieces_that_matter_are_noticed(monkeypatch):
    def link_for(choice):
        link = decode.vectors.established("client", 4)
        if links:
            link.receive(b"\0\0")
        links.append(link)
        return link

    links = []
    monkeypatch.setattr(decode, "link_for", link_for)
    with pytest.raises(AssertionError):
        decode.one_input(PUBLISH_SEED)
    assert len(links) == 2


def test_the_seeds_of_a_link_that_is_opened_or_not():
    assert decode.link_for(decode.choice_for(vector("CONNACK success (5.0)"))).version == 5
    opened = decode.link_for(decode.choice_for(vector("PINGREQ (3.1.1)")))
    assert isinstance(opened.receive(b"\xc0\0")[0], PingReq)


def vector(name: str) -> decode.vectors.Vector:
    return next(each for each in decode.vectors.load() if each.name == name)
