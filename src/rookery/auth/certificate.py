"""Clients that are known by the certificate they showed in the TLS handshake.

The listener has verified it against its authorities, so nothing is left to prove: the user name, and
where that is asked for the client id, are read from it. Whatever user name the CONNECT gives is not
looked at. Who showed no certificate is left to the next source.
"""

from typing import Final, Literal

from rookery.auth.principals import principal_of
from rookery.auth.source import NotKnown, Verdict
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, Exchange, PeerCertificate, Principal, Refused

Part = Literal["cn", "subject", "san_dns", "san_email", "san_uri", "serial", "fingerprint_sha256"]

PARTS: Final = {
    "cn": "common name",
    "subject": "subject",
    "san_dns": "DNS name",
    "san_email": "e-mail address",
    "san_uri": "URI",
    "serial": "serial number",
    "fingerprint_sha256": "fingerprint",
}
"""What a certificate can name its owner by, in words."""


def part_of(certificate: PeerCertificate, part: Part) -> str:
    """One part of a certificate, the first of several; empty where it has none."""
    if part == "cn":
        return certificate.common_name
    if part == "subject":
        return certificate.subject
    if part == "serial":
        return certificate.serial
    if part == "fingerprint_sha256":
        return certificate.fingerprint_sha256
    if part == "san_dns":
        names = certificate.dns_names
    elif part == "san_email":
        names = certificate.email_addresses
    else:
        names = certificate.uris
    return names[0] if names else ""


class CertificateSource:
    """Lets in who showed a certificate that names it."""

    name: Final = "certificate"
    methods: frozenset[str] = frozenset()

    def __init__(
        self,
        username_from: Part = "cn",
        client_id_from: Part | None = None,
        *,
        client_id_replaced: bool = False,
    ) -> None:
        """Without ``client_id_replaced`` the client must give the client id of its certificate itself."""
        self._username_from: Part = username_from
        self._client_id_from = client_id_from
        self._client_id_replaced = client_id_replaced

    def authenticate(self, attempt: Attempt) -> Verdict:
        """Decide at once."""
        certificate = attempt.certificate
        if certificate is None:
            return NotKnown("the client showed no certificate")
        username = part_of(certificate, self._username_from)
        if not username:
            return _lacks(certificate, self._username_from)
        accepted = Accepted(principal_of(attempt, username, self.name))
        if self._client_id_from is None:
            return accepted
        client_id = part_of(certificate, self._client_id_from)
        if not client_id:
            return _lacks(certificate, self._client_id_from)
        if self._client_id_replaced:
            accepted.client_id = client_id
        elif attempt.client_id != client_id:
            return Refused(
                ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
                f"the client id must be {client_id!r}, the {PARTS[self._client_id_from]} of the"
                " client's certificate",
            )
        return accepted

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Raise ``ValueError``: there is no enhanced authentication here."""
        raise ValueError(f"no authentication method {method!r} on listener {attempt.listener!r}")

    @property
    def generation(self) -> int:
        """Nothing changes here: what is revoked is the listener's matter."""
        return 0

    def still_admits(self, principal: Principal) -> str | None:
        """Whoever was let in stays."""
        return None

    async def start(self) -> None:
        """Nothing is opened."""

    async def stop(self) -> None:
        """Nothing is held."""


def _lacks(certificate: PeerCertificate, part: Part) -> Refused:
    return Refused(
        ReasonCode.NOT_AUTHORIZED,
        f"the client's certificate has no {PARTS[part]} (its fingerprint is"
        f" {certificate.fingerprint_sha256})",
    )
