from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rookery.cluster import security
from rookery.cluster.refusals import Refusal
from rookery.cluster.security import (
    Credentials,
    LinkFault,
    LinkSecurity,
    LinkTls,
    check_certificate,
    is_loopback,
    name_matches,
    read_pem,
)
from tests.support.certificates import Authority, Pair
from tests.support.links import LinkNode, nodes, run


def test_only_this_machine_needs_no_proof():
    nothing = LinkSecurity()
    assert nothing.fault(["127.0.0.1", "localhost", "::1"]) is None
    text = nothing.fault(["127.0.0.1", "0.0.0.0"])
    assert text is not None
    assert "0.0.0.0 needs certificates" in text
    assert "or a shared secret" in text
    assert LinkSecurity(b"sixteen bytes is").fault(["0.0.0.0"]) is None
    assert LinkSecurity(tls=LinkTls(Path(), Path(), Path())).fault(["0.0.0.0"]) is None


def test_a_short_secret_is_none():
    text = LinkSecurity(b"short").fault([])
    assert text == "the cluster's secret needs at least 16 bytes"


def test_the_secret_is_not_shown():
    assert "hidden" not in repr(LinkSecurity(b"hidden hidden hidden"))


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.8.8.8", True), ("[::1]", True), ("localhost", True), ("::", False), ("a.b", False)],
)
def test_loopback(host: str, local: bool):
    assert is_loopback(host) == local


@pytest.mark.parametrize(
    ("pattern", "wanted", "matches"),
    [
        ("n1.example", "N1.example.", True),
        ("*.example", "n1.example", True),
        ("*.example", "a.n1.example", False),
        ("*.example", "example", False),
        ("*", "n1", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("0:0::1", "::1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "", True),
    ],
)
def test_names_in_certificates(pattern: str, wanted: str, matches: bool):
    assert name_matches(pattern, wanted) == matches


def test_the_common_name_counts_where_there_are_no_others():
    check_certificate({"x509_common_name": [b"n1"]}, "n1", "n1")
    both = {"x509_common_name": [b"n1"], "x509_subject_alternative_name": [b"n2"]}
    with pytest.raises(Refusal, match="of node n1 has to name n1, and names n2"):
        check_certificate(both, "n1", "n1")
    with pytest.raises(Refusal, match="names nothing"):
        check_certificate({}, "n1", "n1")


def files(authority: Authority, pair: Pair) -> LinkTls:
    return LinkTls(pair.certificate, pair.private_key, authority.certificate)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(tmp_path: Path):
    authority = Authority(tmp_path)
    with pytest.raises(LinkFault, match=r"server\.key cannot be used"):
        read_pem(files(authority, authority.server(password="secret")))


def test_renewed_files_are_in_force_for_the_next_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(security, "FILES_READ_SECONDS", 0.05)

    async def work() -> None:
        first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
        tls = files(first, first.node("node"))
        pair = second.node("other")
        one = LinkNode("n1", security=LinkSecurity(tls=files(second, pair)))
        other = LinkNode("n2", security=LinkSecurity(tls=tls))
        async with nodes(one, other):
            await one.problem("no link to node n2")
            for source, target in (
                (pair.certificate, tls.certificate),
                (pair.private_key, tls.private_key),
                (second.certificate, tls.ca),
            ):
                target.write_bytes(source.read_bytes())
            await one.told.said("up n2")
        credentials = Credentials(tls, read_pem(tls))
        tls.ca.write_text("nothing")
        with capture_logs() as lines:
            await credentials.refresh()
        assert lines[0]["event"] == "cluster_certificate_not_renewed"

    run(work())
