"""TLS as the sources use it towards the servers they ask."""

import ssl
from pathlib import Path


def client_context(
    ca: Path | None = None, certificate: Path | None = None, private_key: Path | None = None
) -> ssl.SSLContext:
    """TLS towards a server: the system's authorities, or those of one file. Raises ``OSError``."""
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        context.load_cert_chain(certificate, private_key)
    return context
