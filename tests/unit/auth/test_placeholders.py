"""Texts are filled in one pass, with what the client said and nothing else."""

import pytest

from rookery.auth.placeholders import NAMES, NoValue, filled, unknown_names
from rookery.ports import PeerCertificate
from tests.support.sources import attempt

CERTIFICATE = PeerCertificate("cn", "CN=cn")


def test_everything_there_is_a_place_for():
    text = "|".join(f"${{{name}}}" for name in NAMES)
    found = filled(text, attempt(certificate=CERTIFICATE))
    assert found == "ann|secret|c1|192.0.2.7|tcp|cn|CN=cn"


def test_the_short_forms_where_they_are_asked_for():
    assert filled("%u/%c/${username}", attempt(), short=True) == "ann/c1/ann"
    assert filled("%u/%c", attempt()) == "%u/%c"


def test_what_a_client_says_is_not_read_again():
    asked = attempt("${password}%c", client_id="%u")
    assert filled("${username} ${clientid}", asked, short=True) == "${password}%c %u"


def test_values_are_escaped_and_the_text_is_not():
    assert filled("a&${username}", attempt("x&y"), lambda text: text.replace("&", "_")) == "a&x_y"


@pytest.mark.parametrize(
    ("text", "changed", "fault"),
    [
        ("${username}", {"username": None}, "no username"),
        ("${password}", {"password": None}, "no password"),
        ("${password}", {"password": b"\xff"}, "UTF-8"),
        ("${cert_subject}", {}, "no cert_subject"),
        ("${nothing}", {}, "'nothing'"),
    ],
)
def test_what_is_not_known(text, changed, fault):
    with pytest.raises(NoValue, match=fault):
        filled(text, attempt(**changed))


def test_unknown_names_are_found_beforehand():
    assert unknown_names("${username} ${user} ${} $x {y}") == ["user", ""]
