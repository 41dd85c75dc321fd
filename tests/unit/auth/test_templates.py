import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.auth.rules import Rule, RuleSet
from rookery.auth.templates import Template, filled
from rookery.mqtt.topics import matches
from rookery.ports import Principal

ANN = Principal("ann", "c1", attributes={"jwt.role": "pump", "cert_common_name": "p7"})
TEMPLATES = ["of/${username}/#", "${username}/#", "of/x-${username}", "%u/t", "of/%u/%c", "%u%c/#"]


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("a/${username}/b", "a/ann/b"),
        ("a/%u-%c/#", "a/ann-c1/#"),
        ("${clientid}/${client_id}", "c1/c1"),
        ("${jwt.role}/${cert_common_name}", "pump/p7"),
        ("100%/$SYS", "100%/$SYS"),
    ],
)
def test_values_take_their_places(text, levels):
    assert Template(text).levels(ANN, allow=True) == levels.split("/")
    assert Template(text, plain=True).levels(ANN, allow=True) == text.split("/")


def test_values_are_put_in_once():
    sly = Principal("${clientid}", "secret")
    assert Template("a/${username}").levels(sly, allow=True) == ["a", "${clientid}"]
    assert filled("${username}/%c/", Principal("%c", "secret")) == "%c/secret/"


@pytest.mark.parametrize("name", ["#", "+", "a/b", "", "a#", "\0"])
def test_an_unsafe_value_gains_nothing_and_escapes_nothing(name):
    sly = Principal(name, "c")
    template = Template("private/x/pre-${username}/y")
    assert template.levels(sly, allow=True) is None
    assert template.levels(sly, allow=False) == ["private", "x", "#"]
    assert filled("${username}/", sly) is None


def test_who_has_no_such_thing_is_not_meant():
    nobody = Principal(None, "c")
    for text in ("a/${username}", "a/${jwt.role}"):
        assert Template(text).levels(nobody, allow=True) is None
        assert Template(text).levels(nobody, allow=False) is None
    assert filled("${username}/", nobody) is None


def test_a_name_makes_no_filter_of_the_node():
    sly = Principal("$SYS", "c")
    assert Template("${username}/#").levels(sly, allow=True) is None
    assert Template("${username}/#").levels(sly, allow=False) == ["$SYS", "#"]
    assert Template("of/${username}").levels(sly, allow=True) == ["of", "$SYS"]
    assert filled("${username}/", sly) is None


@pytest.mark.parametrize("text", ["${usrname}/a", "a/#${username}", "#/${username}", "${}#"])
def test_what_is_no_template(text):
    with pytest.raises(ValueError, match=r"placeholder|wildcard|stands last"):
        Template(text)


def lenient(template):
    """The widest that a template may ever stand for."""
    for name in ("${username}", "%u", "%c"):
        template = template.replace(name, "\1")
    return "/".join("+" if "\1" in level else level for level in template.split("/"))


NAMES = st.one_of(st.text(max_size=12), st.text("#+/$ab%{}uc", max_size=8))


@given(template=st.sampled_from(TEMPLATES), name=NAMES, client_id=NAMES, topic=NAMES)
def test_no_name_gains_a_topic_outside_its_template(template, name, client_id, topic):
    principal = Principal(name, client_id)
    rules = RuleSet([Rule(True, "all", template)])
    tries = [topic, f"of/{topic}", f"of/{name}", f"{name}/t", f"of/{name}/{client_id}", "$SYS/a"]
    for each in tries:
        if each and rules.publish(principal, each, 0, False):
            assert matches(lenient(template), each)
    for asked in ("#", "+/#", "of/#", "$SYS/#", "+/t", "of/+/+", "+"):
        assert rules.subscribe(principal, asked, 0) is None


@given(name=NAMES, client_id=NAMES)
def test_no_name_escapes_a_refusal_of_its_own_topic(name, client_id):
    rules = RuleSet([Rule(False, "all", "of/${username}/#"), Rule(True, "all", "#")])
    found = rules.publish(Principal(name, client_id), f"of/{name}/x", 0, False)
    assert found is not None
    assert not found.allow
