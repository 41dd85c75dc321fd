"""A real slapd, asked in clear, over LDAPS and with StartTLS; and servers that are none."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rookery.auth.ldap_directory import (
    Directory,
    DirectoryFault,
    DirectorySettings,
    Person,
    Stranger,
    Wrong,
    group_name,
)
from rookery.auth.placeholders import NoValue
from rookery.auth.tls_client import client_context
from tests.support.certificates import Authority, Certificates, make_certificates
from tests.support.slapd import PEOPLE, Slapd, slapd
from tests.support.sources import attempt

SERVICE = {
    "bind_dn": "cn=service,dc=example,dc=org",
    "bind_password": "service-secret",
    "base": PEOPLE,
    "filter": "(&(objectClass=inetOrgPerson)(uid=${username}))",
}
TEMPLATE = {"user_dn": f"uid=${{username}},{PEOPLE}"}
ANN = f"uid=ann,{PEOPLE}"
GROUPS = {
    "cn=admins,ou=groups,dc=example,dc=org",
    "cn=plant\\2C north,ou=groups,dc=example,dc=org",
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Slapd]:
    with slapd(tmp_path_factory.mktemp("slapd"), certificates.ca, certificates.server) as running:
        yield running


@pytest.fixture
def directory(server: Slapd) -> Iterator[Callable[..., Directory]]:
    made: list[Directory] = []

    def make(context: ssl.SSLContext | None = None, **changed: Any) -> Directory:
        given = {"host": "127.0.0.1", "port": server.port, "timeout_seconds": 2, **changed}
        made.append(Directory(DirectorySettings(**given), context))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("how", [SERVICE, TEMPLATE], ids=["search", "template"])
class TestUsers:
    def test_the_right_password_and_a_wrong_one(self, directory, how):
        subject = directory(**how)
        for _ in range(2):
            assert subject.check(attempt("ann", "ann-secret")) == Person(ANN, "ann")
            found = subject.check(attempt("ann", "bob-secret"))
            assert isinstance(found, Wrong)
            assert "invalidCredentials" in found.reason

    def test_groups(self, directory, how):
        found = directory(**how, groups_attribute="memberof").check(attempt("ann", "ann-secret"))
        assert isinstance(found, Person)
        assert set(found.groups) == GROUPS
        found = directory(**how, groups_attribute="noSuch").check(attempt("ann", "ann-secret"))
        assert found == Person(ANN, "ann")

    def test_a_name_that_must_be_escaped(self, directory, how):
        found = directory(**how).check(attempt("odd, *(name)", "odd-secret"))
        assert isinstance(found, Person), found

    @pytest.mark.parametrize(
        "name", ["*", "a*", "ann)(uid=*", "ann,ou=people", "ann\\", "#ann", "ann+cn=Ann"]
    )
    def test_a_name_cannot_reach_another(self, directory, how, name):
        for password in ("ann-secret", "bob-secret"):
            assert not isinstance(directory(**how).check(attempt(name, password)), Person)


@pytest.mark.parametrize("how", [SERVICE, TEMPLATE], ids=["search", "template"])
@pytest.mark.parametrize("name", ["ANN", " ann ", "Ann", "ann\n"])
def test_a_user_has_one_name_however_it_is_written(directory, how, name):
    assert directory(**how).check(attempt(name, "ann-secret")) == Person(ANN, "ann")


def test_the_name_may_be_another_than_was_searched_for(directory):
    settings = {**SERVICE, "filter": "(mail=${username})", "username_attribute": "CN"}
    found = directory(**settings).check(attempt("ann@example.org", "ann-secret"))
    assert found == Person(ANN, "Ann")


def test_an_entry_without_the_name_is_nobodys(directory):
    found = directory(**SERVICE, username_attribute="title").check(attempt("ann", "ann-secret"))
    assert isinstance(found, Wrong)
    assert "no title" in found.reason


@pytest.mark.parametrize("how", [SERVICE, TEMPLATE], ids=["search", "template"])
def test_no_name_makes_the_directory_fail(directory, how):
    """Else a client could have it left alone."""
    subject = directory(**how)
    odd = [
        "\\",
        "(",
        ")",
        "*",
        "\\2a",
        "=",
        "a=b",
        "#",
        " ",
        "  ",
        "\t",
        "\u2028",
        "\u00e9",
        "+",
        ";",
    ]
    odd += ["\U0001f600", "x" * 65_535, "\\" * 1000, "<", ">", '"', ",", "\x7f", "\x01"]
    for name in odd:
        for password in ("x", "p" * 65_535, "\x01"):
            assert not isinstance(subject.check(attempt(name, password)), Person)


def test_nobody_is_a_stranger_to_a_search(directory):
    assert isinstance(directory(**SERVICE).check(attempt("eve", "x")), Stranger)


def test_a_name_of_several_is_nobodys(directory):
    subject = directory(**{**SERVICE, "filter": "(mail=${username})"})
    found = subject.check(attempt("twice@example.org", "bob-secret"))
    assert found == Wrong("the search finds more than one entry")


def test_an_anonymous_search(directory):
    subject = directory(base=PEOPLE, filter="(uid=${username})")
    with pytest.raises(DirectoryFault, match="search in 'ou=people"):
        subject.check(attempt("ann", "ann-secret"))  # This directory shows nobody to anybody.


def test_what_a_filter_needs_must_be_said(directory):
    with pytest.raises(NoValue, match="cert_common_name"):
        directory(**{**SERVICE, "filter": "(uid=${cert_common_name})"}).check(attempt("a", "b"))


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"bind_password": "wrong"}, "may not bind"),
        ({"bind_dn": "cn=nobody,dc=example,dc=org"}, "may not bind"),
        ({"base": "ou=none,dc=example,dc=org"}, "noSuchObject"),
        ({"filter": "((("}, "."),
    ],
)
def test_what_the_operator_wrote_wrong(directory, changed, fault):
    with pytest.raises(DirectoryFault, match=fault) as caught:
        directory(**{**SERVICE, **changed}).check(attempt("ann", "ann-secret"))
    assert "secret" not in str(caught.value)


class TestTls:
    @pytest.mark.parametrize("security", ["ldaps", "starttls"])
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_by_the_right_authority(self, directory, server, certificates, security, host):
        port = server.tls_port if security == "ldaps" else server.port
        subject = directory(
            client_context(certificates.ca), **SERVICE, security=security, port=port, host=host
        )
        assert subject.check(attempt("ann", "ann-secret")) == Person(ANN, "ann")

    @pytest.mark.parametrize("security", ["ldaps", "starttls"])
    def test_by_another_authority(self, directory, server, certificates, security):
        port = server.tls_port if security == "ldaps" else server.port
        subject = directory(
            client_context(certificates.other_ca), **SERVICE, security=security, port=port
        )
        with pytest.raises(DirectoryFault, match=r"(?i)certificate"):
            subject.check(attempt("ann", "ann-secret"))

    @pytest.mark.parametrize("security", ["ldaps", "starttls"])
    def test_of_another_host(self, tmp_path, security):
        authority = Authority(tmp_path)
        pair = authority.server(hosts=("localhost",))
        with slapd(tmp_path, authority.certificate, pair) as other:
            port = other.tls_port if security == "ldaps" else other.port
            settings = DirectorySettings("127.0.0.1", port, security, 2, **SERVICE)
            subject = Directory(settings, client_context(authority.certificate))
            with pytest.raises(DirectoryFault, match="atch"):
                subject.check(attempt("ann", "ann-secret"))
            subject.close()


class TestConnections:
    def test_are_kept_and_made_anew_when_the_server_was_away(self, certificates, tmp_path):
        with slapd(tmp_path, certificates.ca, certificates.server) as running:
            settings = DirectorySettings("127.0.0.1", running.port, timeout_seconds=2, **SERVICE)
            subject = Directory(settings, None)
            for _ in range(3):
                assert isinstance(subject.check(attempt("ann", "ann-secret")), Person)
            assert len(subject._idle) == 1
            running.stop()
            with pytest.raises(DirectoryFault):
                subject.check(attempt("ann", "ann-secret"))
            running.start()
            assert isinstance(subject.check(attempt("ann", "ann-secret")), Person)
            subject.close()
            assert len(subject._idle) == 0


class Impostor:
    """A server that speaks no LDAP: it hangs, resets or answers with the bytes it is given."""

    def __init__(self, answer: bytes | None, *, closes: bool = False) -> None:
        self._answer, self._closes = answer, closes
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._links: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            self._links.append(link)
            if self._answer is not None:
                link.recv(65536)
                link.sendall(self._answer)
            if self._closes:
                link.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for link in self._links:
            link.close()


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        (None, False),
        (None, True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True),
        (b"\x30\x03\x02\x01\x63", True),
        (b"\xff" * 100, True),
        (b"\x30\x84\xff\xff\xff\xff", True),
        (b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04", True),
    ],
)
def test_a_server_that_is_none(answer, closes):
    impostor = Impostor(answer, closes=closes)
    subject = Directory(
        DirectorySettings("127.0.0.1", impostor.port, timeout_seconds=1, **SERVICE), None
    )
    try:
        with pytest.raises(DirectoryFault):
            subject.check(attempt("ann", "ann-secret"))
    finally:
        subject.close()
        impostor.close()


@pytest.mark.parametrize(
    ("dn", "name"),
    [
        ("cn=admins,ou=groups,dc=example,dc=org", "admins"),
        ("cn=plant\\2C north,ou=groups", "plant, north"),
        ("cn=a\\, b,ou=groups", "a, b"),
    ],
)
def test_the_short_name_of_a_group(dn, name):
    assert group_name(dn) == name
