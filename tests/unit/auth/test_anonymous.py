import pytest

from rookery.auth.anonymous import AnonymousAuthenticator
from rookery.ports import Accepted, Attempt, Authenticator

ATTEMPT = Attempt(
    client_id="c1", username="root", password=b"x", address="192.0.2.7", listener="tcp"
)


def test_everybody_is_accepted_without_a_name() -> None:
    authenticator: Authenticator = AnonymousAuthenticator()
    outcome = authenticator.authenticate(ATTEMPT)
    assert isinstance(outcome, Accepted)
    principal = outcome.principal
    assert principal.name is None
    assert (principal.client_id, principal.address, principal.listener) == (
        "c1",
        "192.0.2.7",
        "tcp",
    )


def test_there_is_no_enhanced_authentication() -> None:
    authenticator = AnonymousAuthenticator()
    assert authenticator.methods == frozenset()
    with pytest.raises(ValueError, match="no authentication method 'SCRAM' on listener 'tcp'"):
        authenticator.begin("SCRAM", ATTEMPT)
