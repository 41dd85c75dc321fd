from pathlib import Path

from rookery.net.certificates.options import KeyPair, TlsOptions


def test_every_file_is_named() -> None:
    pairs = [KeyPair(Path(f"{n}.pem"), Path(f"{n}.key")) for n in range(2)]
    options = TlsOptions(pairs[0], (pairs[1],), ca=Path("ca.pem"), crl=Path("crl.pem"))
    names = {"0.pem", "0.key", "1.pem", "1.key", "ca.pem", "crl.pem"}
    assert {str(path) for path in options.files()} == names
    assert len(TlsOptions(pairs[0]).files()) == 2


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(TlsOptions(KeyPair(Path("a"), Path("b"), "secret")))
