"""The keys that tokens are checked by: read from files or a URL, and read again as time goes by.

What a key may verify follows from the key itself, never from the token: an RSA key takes RS and PS, a
curve its own ES, a secret HS as far as it is long enough. So no token can turn a public key into a
secret, and "none" is no algorithm of any key. When reading again fails, the keys there were stay.
"""

import asyncio
import binascii
import json
import ssl
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from rookery.actors.tasks import Tasks
from rookery.auth.watch import FileFault
from rookery.auth.web import WebFault, ask, make_client, place_of
from rookery.ports import Clock

log: Final = structlog.get_logger("rookery.auth")

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

REFETCH_SECONDS_MIN: Final = 5.0
"""How often tokens with unknown keys may have the keys read again."""
FILE_BYTES_MAX: Final = 1_048_576
FETCH_SECONDS_MAX: Final = 5.0
KEYS_MAX: Final = 100
RSA_BITS_MIN: Final = 2048
SECRET_BYTES_MIN: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""As long as the hash: RFC 7518, 3.2."""
CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS: Final = frozenset({*SECRET_BYTES_MIN, *RSA, *CURVES.values(), "EdDSA"})


class KeyFault(Exception):
    """A key cannot be used; the text says why, without the key."""


@dataclass(frozen=True)
class VerifyKey:
    """One key and what it may verify."""

    kid: str | None
    key: PublicKey | bytes = field(repr=False)
    algorithms: frozenset[str]


Load = Callable[[], Awaitable[tuple[VerifyKey, ...]]]
"""Reads the keys anew. Raises ``KeyFault`` or ``WebFault``."""


def secret_key(secret: bytes) -> VerifyKey:
    """A shared secret. Raises ``KeyFault`` where it is too short for every algorithm."""
    algorithms = {name for name, size in SECRET_BYTES_MIN.items() if len(secret) >= size}
    if not algorithms:
        raise KeyFault(f"the secret has {len(secret)} bytes; HS256 needs 32 or more")
    return VerifyKey(None, secret, frozenset(algorithms))


def decode_secret(text: str | bytes, *, base64: bool) -> bytes:
    """The bytes of a secret as it is written down. Raises ``KeyFault``."""
    raw = text.encode() if isinstance(text, str) else text
    if not base64:
        return raw
    try:
        return b64decode(raw.strip().replace(b"-", b"+").replace(b"_", b"/"), validate=True)
    except binascii.Error as error:
        raise KeyFault(f"the secret is not base64: {error}") from error


def public_key(data: bytes) -> VerifyKey:
    """The public key, or that of the certificate, in a PEM file. Raises ``KeyFault``."""
    if b"PRIVATE KEY" in data:
        raise KeyFault("it holds a private key, which belongs to who makes the tokens")
    try:
        if b"BEGIN CERTIFICATE" in data:
            key: object = x509.load_pem_x509_certificate(data).public_key()
        else:
            key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFault("it holds no public key or certificate in PEM form") from error
    return _public(None, key)


def _public(kid: str | None, key: object) -> VerifyKey:
    if isinstance(key, RSAPublicKey):
        if key.key_size < RSA_BITS_MIN:
            raise KeyFault(
                f"an RSA key of {key.key_size} bits is too short, {RSA_BITS_MIN} are not"
            )
        return VerifyKey(kid, key, RSA)
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in CURVES:
        return VerifyKey(kid, key, frozenset({CURVES[key.curve.name]}))
    if isinstance(key, Ed25519PublicKey | Ed448PublicKey):
        return VerifyKey(kid, key, frozenset({"EdDSA"}))
    raise KeyFault("its kind verifies no token")


def key_set(data: bytes, *, secrets: bool) -> tuple[VerifyKey, ...]:
    """The keys of a JWKS. One that is of no use is left out, and the log says so.

    ``secrets`` lets it hold shared secrets: in a file, not where anybody might fetch them. Raises
    ``KeyFault`` where no key is left.
    """
    try:
        listed = json.loads(data)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise KeyFault("it is no JWKS: a JSON object with a list of keys") from error
    if not isinstance(listed, list):
        raise KeyFault("it is no JWKS: its keys are no list")
    found = []
    for number, entry in enumerate(listed[:KEYS_MAX]):
        try:
            found.append(_set_key(entry, secrets=secrets))
        except KeyFault as fault:
            log.warning("jwks_key_left_out", number=number, reason=str(fault))
    if not found:
        raise KeyFault("it holds no key that verifies tokens")
    return tuple(found)


def _set_key(entry: Any, *, secrets: bool) -> VerifyKey:
    if not isinstance(entry, dict):
        raise KeyFault("it is no object")
    if entry.get("use", "sig") != "sig":
        raise KeyFault(f"its use is {entry['use']!r}, not sig")
    if "verify" not in entry.get("key_ops", ["verify"]):
        raise KeyFault("its key_ops do not hold verify")
    kid = entry.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise KeyFault("its kid is no text")
    if entry.get("kty") != "oct" and "d" in entry:
        raise KeyFault("it is a private key, which belongs to who makes the tokens")
    try:
        # Without an algorithm of its own PyJWK takes one by the kind; only the key is of interest.
        key = jwt.PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise KeyFault(f"it cannot be read: {error}") from error
    if isinstance(key, bytes):
        if not secrets:
            raise KeyFault("it is a shared secret, and whoever can fetch it could make tokens")
        made = secret_key(key)
    else:
        made = _public(None, key)
    algorithms = made.algorithms & {entry["alg"]} if "alg" in entry else made.algorithms
    if not algorithms:
        raise KeyFault(f"its alg {entry['alg']!r} does not fit its kind")
    return VerifyKey(kid, made.key, algorithms)


def from_file(path: Path, read: Callable[[bytes], Iterable[VerifyKey]]) -> Load:
    """Keys that lie in a file."""

    def now() -> tuple[VerifyKey, ...]:
        try:
            with path.open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise KeyFault(f"{path} cannot be read: {error.strerror}") from error
        if len(data) > FILE_BYTES_MAX:
            raise KeyFault(f"{path} is longer than {FILE_BYTES_MAX} bytes")
        try:
            return tuple(read(data))
        except KeyFault as fault:
            raise KeyFault(f"{path}: {fault}") from fault

    async def load() -> tuple[VerifyKey, ...]:
        return await asyncio.to_thread(now)

    return load


def from_url(
    url: str, context: ssl.SSLContext, read: Callable[[bytes], Iterable[VerifyKey]]
) -> Load:
    """Keys that a web server has."""
    place = place_of(url)

    async def load() -> tuple[VerifyKey, ...]:
        async with make_client(context, 1, FETCH_SECONDS_MAX, FETCH_SECONDS_MAX) as client:
            try:
                status, _, data = await ask(client, client.build_request("GET", url))
            except WebFault as fault:
                raise WebFault(f"{place}: {fault}") from fault
        if status != 200:
            raise WebFault(f"{place}: status {status}")
        try:
            return tuple(read(data))
        except KeyFault as fault:
            raise KeyFault(f"{place}: {fault}") from fault

    return load


class Keys:
    """The keys there are now."""

    def __init__(
        self,
        load: Load,
        clock: Clock,
        refresh_seconds: float,
        *,
        remote: bool = False,
        waiting_max: int = 1000,
    ) -> None:
        """``remote`` keys may be missing at the start, and are read again for a ``kid`` not known."""
        self._load = load
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._remote = remote
        self._waiting_max = waiting_max
        self._waiting = 0
        self._tasks = Tasks(_failed)
        self._reading: asyncio.Future[None] | None = None
        self._read_at = float("-inf")
        self._problem = ""
        self.known: tuple[VerifyKey, ...] = ()

    async def start(self) -> None:
        """Read the keys; raises ``FileFault`` where those of a file are not there."""
        await self._read()
        if self._problem and not self._remote:
            raise FileFault(f"authentication.jwt: {self._problem}")
        if self._refresh_seconds > 0:
            self._tasks.start("jwt_keys", self._refresh())

    async def stop(self) -> None:
        """Read no more."""
        await self._tasks.stop()

    def candidates(self, algorithm: str, kid: str | None) -> list[VerifyKey]:
        """The keys that may verify a token: those of its ``kid``, else those without one."""
        fitting = [key for key in self.known if algorithm in key.algorithms]
        if kid is None:
            return fitting
        return [key for key in fitting if key.kid == kid] or [
            key for key in fitting if key.kid is None
        ]

    def may_change(self) -> bool:
        """Whether reading again now could bring a key that is missing."""
        if not self._remote or self._waiting >= self._waiting_max:
            return False
        due = self._clock.monotonic() - self._read_at >= REFETCH_SECONDS_MIN
        return due or self._reading is not None

    async def read_again(self) -> None:
        """Wait for the keys to be read again; many who wait share one reading."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_future()
            self._tasks.start("jwt_keys_again", self._read_for(self._reading))
        self._waiting += 1
        try:
            await asyncio.shield(self._reading)
        finally:
            self._waiting -= 1

    async def _read_for(self, reading: asyncio.Future[None]) -> None:
        try:
            await self._read()
        finally:
            self._reading = None
            if not reading.done():
                reading.set_result(None)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_seconds)
            await self._read()

    async def _read(self) -> None:
        self._read_at = self._clock.monotonic()
        try:
            self.known = await self._load()
        except (KeyFault, WebFault) as fault:
            if str(fault) != self._problem:
                self._problem = str(fault)
                log.warning("jwt_keys_not_read", problem=self._problem, keys_kept=len(self.known))
        else:
            if self._problem:
                log.info("jwt_keys_read_again", keys=len(self.known))
            self._problem = ""


def _failed(name: str, error: BaseException) -> None:
    log.error("task_failed", task=name, exc_info=error)
