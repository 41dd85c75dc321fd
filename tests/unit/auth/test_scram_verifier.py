"""Verifiers are written, read and refused."""

import pytest

from rookery.auth.scram_verifier import VerifierFault, make_verifier, parse_verifier, prepared

MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-512"]


class TestVerifiers:
    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_are_read_as_they_are_written(self, mechanism):
        made = make_verifier("secret", mechanism)
        assert parse_verifier(str(made)) == made
        assert made.matches("secret")
        assert not made.matches("Secret")
        assert not made.matches("\u0007")
        assert "secret" not in repr(made)
        assert str(made) != str(make_verifier("secret", mechanism))

    def test_the_form_is_that_of_postgresql(self):
        text = str(make_verifier("secret", "SCRAM-SHA-256", 4096, bytes(range(16))))
        assert text.startswith("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$")

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (("SCRAM-SHA-256", "SCRAM-SHA-1"), "it is not"),
            (("SCRAM-SHA-256", "SCRAM-SHA-512"), "64 bytes"),
            ((":", ""), "it is not"),
            (("4096", "4095"), "4095 iterations"),
            (("4096", "99999999"), "iterations"),
            (("AAECAwQFBgcICQoLDA0ODw==", "AAEC"), "salt"),
            (("AAECAwQFBgcICQoLDA0ODw==", "AAE!"), "base64"),
        ],
    )
    def test_that_are_wrong(self, change, fault):
        text = str(make_verifier("secret", "SCRAM-SHA-256", 4096, bytes(range(16))))
        with pytest.raises(VerifierFault, match=fault):
            parse_verifier(text.replace(*change, 1))

    def test_that_cannot_be_made(self):
        for arguments in (("secret", "SCRAM-SHA-256", 100), ("\u0007",)):
            with pytest.raises(VerifierFault):
                make_verifier(*arguments)


def test_names_as_they_are_compared():
    assert prepared("\uff41nn") == "ann"
    with pytest.raises(VerifierFault):
        prepared("\u0007")
