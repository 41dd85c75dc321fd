import os
from pathlib import Path

import pytest

from rookery.net.certificates.listener import ListenerTls, Reading, stamp_of
from rookery.net.certificates.options import KeyPair, TlsFileFault, TlsOptions
from tests.support.certificates import Authority


def options_of(directory: Path) -> TlsOptions:
    pair = Authority(directory).server()
    return TlsOptions(KeyPair(pair.certificate, pair.private_key))


class TestStamp:
    def test_the_same_files_have_the_same(self, tmp_path: Path) -> None:
        files = options_of(tmp_path).files()
        assert stamp_of(files) == stamp_of(files)

    def test_writing_replacing_and_removing_change_it(self, tmp_path: Path) -> None:
        file = tmp_path / "a"
        stamps = [stamp_of([file])]
        file.write_text("one")
        stamps.append(stamp_of([file]))
        os.utime(file, ns=(1, 1))
        stamps.append(stamp_of([file]))
        other = tmp_path / "b"
        other.write_text("two")
        os.utime(other, ns=(1, 1))
        other.replace(file)
        stamps.append(stamp_of([file]))
        assert len(set(stamps)) == 4

    def test_a_link_that_is_turned_changes_it(self, tmp_path: Path) -> None:
        # Secrets mounted by Kubernetes, and certbot's live directory, are links.
        for name in ("one", "two"):
            (tmp_path / name).write_text("same")
            os.utime(tmp_path / name, ns=(1, 1))
        link = tmp_path / "link"
        link.symlink_to("one")
        before = stamp_of([link])
        link.unlink()
        link.symlink_to("two")
        assert stamp_of([link]) != before


def test_bad_files_make_no_listener(tmp_path: Path) -> None:
    options = TlsOptions(KeyPair(tmp_path / "no", tmp_path / "no"))
    with pytest.raises(TlsFileFault, match="cannot be read"):
        ListenerTls("tls", options, 0.0)


def test_what_was_made_is_used(tmp_path: Path) -> None:
    tls = ListenerTls("tls", options_of(tmp_path), 1.0)
    before, serial = tls.context, tls.facts[0].serial
    options = options_of(tmp_path)
    tls.accept(Reading(options), 2.0)
    assert tls.context is not before
    assert tls.facts[0].serial != serial
    assert tls.tried == stamp_of(options.files())
    assert (tls.reloads, tls.reloads_failed, tls.fault, tls.tried_at) == (1, 0, None, 2.0)


def test_what_could_not_be_made_leaves_the_former(tmp_path: Path) -> None:
    options = options_of(tmp_path)
    tls = ListenerTls("tls", options, 1.0)
    before, serial = tls.context, tls.facts[0].serial
    options.pair.private_key.write_text("half")
    tls.accept(Reading(options), 2.0)
    assert tls.context is before
    assert tls.facts[0].serial == serial
    assert (
        tls.fault == f"private key file {options.pair.private_key} holds no private key in PEM form"
    )
    assert tls.tried == stamp_of(options.files())
    assert (tls.reloads, tls.reloads_failed) == (0, 1)
    tls.accept(Reading(options_of(tmp_path)), 3.0)
    assert (tls.reloads, tls.reloads_failed, tls.fault) == (1, 1, None)
