import pytest

from rookery.auth.questions import Question, filled, names_in, told, unknown_names
from rookery.ports import Principal

ANN = Principal(
    "ann", "c", address="10.0.0.1", listener="tls", attributes={"jwt.sub": "s", "cert_serial": "7"}
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("username", "ann"),
        ("clientid", "c"),
        ("peerhost", "10.0.0.1"),
        ("listener", "tls"),
        ("topic", "a/b"),
        ("action", "publish"),
        ("qos", "2"),
        ("retain", "true"),
        ("jwt.sub", "s"),
        ("cert_serial", "7"),
        ("jwt.other", ""),
    ],
)
def test_what_is_told(name, value):
    assert unknown_names(f"${{{name}}}") == []
    assert told(Question(ANN, "publish", "a/b", 2, True), name) == value


def test_who_has_no_name_tells_none():
    question = Question(Principal(None), "subscribe", "#", 0, False)
    assert (told(question, "username"), told(question, "retain")) == ("", "false")


def test_texts_are_filled_once():
    values = {"topic": "${username}", "username": "x"}
    assert names_in("${topic}/${username}") == ["topic", "username"]
    assert filled("${topic}-${username}", values, str.upper) == "${USERNAME}-X"
    assert unknown_names("${topic}${tpoic}") == ["tpoic"]
