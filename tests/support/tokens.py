"""Who makes tokens in tests: keys of every kind, and their JWKS."""

import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

SECRET = b"a secret of forty-eight bytes, or of some more!!!" * 2
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


def private_key(algorithm: str, number: int = 0) -> Any:
    """The key that signs by this algorithm; another number is another key."""
    return _made(algorithm, number)


@cache
def _made(algorithm: str, number: int) -> Any:
    if algorithm.startswith("HS"):
        return SECRET + bytes([number])
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def public_pem(algorithm: str, number: int = 0) -> bytes:
    return (
        private_key(algorithm, number)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def private_pem(algorithm: str, number: int = 0) -> bytes:
    return private_key(algorithm, number).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def token(algorithm: str, claims: dict[str, Any], number: int = 0, **header: Any) -> str:
    return jwt.encode(claims, private_key(algorithm, number), algorithm, headers=header)


def jwk(algorithm: str, kid: str | None = None, number: int = 0, **changed: Any) -> dict[str, Any]:
    key = private_key(algorithm, number)
    public = key if isinstance(key, bytes) else key.public_key()
    entry = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(public))
    entry.pop("key_ops", None)
    if kid is not None:
        entry["kid"] = kid
    return {**entry, **changed}


def jwks(*entries: Any) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()
