"""What every source makes a principal of."""

from collections.abc import Mapping

from rookery.ports import Attempt, Grant, PeerCertificate, Principal


def principal_of(
    attempt: Attempt,
    name: str | None,
    source: str,
    *,
    superuser: bool = False,
    groups: frozenset[str] = frozenset(),
    attributes: Mapping[str, str] | None = None,
    grants: tuple[Grant, ...] = (),
    expires_at_wall: float | None = None,
) -> Principal:
    """The principal that a source knows a client as; its certificate is known whatever the source."""
    known = {} if attempt.certificate is None else certificate_attributes(attempt.certificate)
    if attributes:
        known.update(attributes)
    return Principal(
        name=name,
        client_id=attempt.client_id,
        address=attempt.address,
        listener=attempt.listener,
        source=source,
        superuser=superuser,
        groups=groups,
        attributes=known,
        grants=grants,
        expires_at_wall=expires_at_wall,
    )


def certificate_attributes(certificate: PeerCertificate) -> dict[str, str]:
    """The attributes of a certificate by the names that rules use; several names have commas between."""
    found = {
        "cert_common_name": certificate.common_name,
        "cert_subject": certificate.subject,
        "cert_serial": certificate.serial,
        "cert_fingerprint": certificate.fingerprint_sha256,
        "cert_san_dns": ",".join(certificate.dns_names),
        "cert_san_email": ",".join(certificate.email_addresses),
        "cert_san_uri": ",".join(certificate.uris),
    }
    return {name: value for name, value in found.items() if value}
