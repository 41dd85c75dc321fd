"""The kinds of stored passwords: what each looks like as text, how one is made and how one is compared.

Every class reads its own notation, ``read`` answering ``None`` to the notation of another. A hash comes from
outside, and its text says what it costs to compare: one that asks for more time or memory than the bounds
here is refused while it is read, or a single one would let a client stop all others.
"""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final, Self

import bcrypt
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type, hash_secret, verify_secret

WORK_MS_MAX: Final = 3_000.0
"""The most work one comparison may take, on a machine like the one the factors below were measured on."""
MEMORY_KIB_MAX: Final = 262_144
"""The most memory one comparison may take."""
CHEAP_MS_MAX: Final = 0.5
"""What takes no longer is compared on the loop, between two packets."""

ARGON2_MEMORY_KIB: Final = 19_456
ARGON2_PASSES: Final = 2
"""With one lane these are the parameters that OWASP names first for 19 MiB: about 30 ms of one core."""
BCRYPT_COST: Final = 10
"""About 75 ms of one core."""
BCRYPT_PASSWORD_BYTES_MAX: Final = 72
SCRYPT_LOG_N: Final = 14
SCRYPT_BLOCKS: Final = 8
PBKDF2_ROUNDS: Final[dict[str, int]] = {"sha256": 600_000, "sha512": 210_000}
"""The counts that OWASP names: about 140 and 180 ms of one core."""

_SALT_BYTES: Final = 16
_KIB_PASS_MS: Final = 0.00076
_BCRYPT_STEP_MS: Final = 0.074
_SCRYPT_STEP_MS: Final = 0.00031
_PBKDF2_ROUND_MS: Final[dict[str, float]] = {"sha256": 0.00023, "sha512": 0.00087}
"""Measured with ``benches/hashes.py``; they only have to put hashes in an order and keep out the absurd."""

_BASE64: Final = r"[A-Za-z0-9+/.]+"
_ARGON2_TEXT: Final = re.compile(
    rf"\$argon2id\$v=19\$m=(\d{{1,10}}),t=(\d{{1,10}}),p=(\d{{1,10}})\${_BASE64}\${_BASE64}"
)
_BCRYPT_TEXT: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_SCRYPT_TEXT: Final = re.compile(
    rf"\$scrypt\$ln=(\d{{1,3}}),r=(\d{{1,6}}),p=(\d{{1,6}})\$({_BASE64})\$({_BASE64})"
)
_PBKDF2_TEXT: Final = re.compile(
    rf"\$pbkdf2-(sha256|sha512)\$(\d{{1,12}})\$({_BASE64})\$({_BASE64})"
)
_MOSQUITTO_7_TEXT: Final = re.compile(rf"\$7\$(\d{{1,12}})\$({_BASE64}=*)\$({_BASE64}=*)")
_MOSQUITTO_6_TEXT: Final = re.compile(rf"\$6\$({_BASE64}=*)\$([A-Za-z0-9+/]{{86}}==)")
_SHA256_TEXT: Final = re.compile(r"sha256\$([^$]*)\$([0-9a-fA-F]{64})")
_SHA256_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


class PasswordFormatError(ValueError):
    """A stored password is written in no form that its algorithm has, or asks for too much."""


class StoredPassword:
    """One stored password, ready to be compared."""

    def __init__(self, algorithm: str, text: str, work_ms: float = 0.0) -> None:
        self.algorithm = algorithm
        self.text = text
        """The notation it was read from: what tells it from another."""
        self.work_ms = work_ms
        """Roughly what a comparison takes; to compare costs, and to decide where it runs."""

    def __repr__(self) -> str:
        return f"StoredPassword(algorithm={self.algorithm!r})"

    @property
    def costly(self) -> bool:
        """Whether ``matches`` takes long enough to stall a loop."""
        return self.work_ms > CHEAP_MS_MAX

    def matches(self, password: bytes) -> bool:
        """Whether this is the password, in a time that does not depend on where they differ."""
        raise NotImplementedError

    def decoy(self) -> "StoredPassword":
        """A password that nobody has, as costly to compare as this one."""
        raise NotImplementedError


class Plain(StoredPassword):
    """The password itself."""

    def __init__(self, text: str) -> None:
        super().__init__("plain", text)
        self._raw = text.encode()

    def matches(self, password: bytes) -> bool:
        """Compare."""
        return hmac.compare_digest(password, self._raw)

    def decoy(self) -> StoredPassword:
        """Another text."""
        return Plain(secrets.token_hex(16))


class Sha256(StoredPassword):
    """``sha256$SALT$HEX``: SHA-256 of SALT followed by the password. SALT is any text without ``$``."""

    def __init__(self, text: str, salt: bytes, digest: bytes) -> None:
        super().__init__("sha256", text)
        self._salt = salt
        self._digest = digest

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Raises ``PasswordFormatError`` where it only begins like one."""
        found = _SHA256_TEXT.fullmatch(text)
        if found is None:
            _check_beginning(text, r"sha256\$", "sha256$SALT$HEX")
            return None
        return cls(text, found[1].encode(), bytes.fromhex(found[2]))

    @classmethod
    def read_bare(cls, text: str, salt: str) -> Self | None:
        """The 64 digits alone, salted with something that is known otherwise."""
        if _SHA256_HEX.fullmatch(text) is None:
            return None
        return cls(text, salt.encode(), bytes.fromhex(text))

    @staticmethod
    def make(password: bytes) -> str:
        """The text of a password."""
        salt = secrets.token_hex(_SALT_BYTES)
        return f"sha256${salt}${hashlib.sha256(salt.encode() + password).hexdigest()}"

    def matches(self, password: bytes) -> bool:
        """Compare."""
        return hmac.compare_digest(hashlib.sha256(self._salt + password).digest(), self._digest)

    def decoy(self) -> StoredPassword:
        """Another digest."""
        return Sha256("", self._salt, secrets.token_bytes(32))


class Sha512(StoredPassword):
    """``$6$SALT$HASH`` as ``mosquitto_passwd -H sha512`` writes it: SHA-512 of the password, then the salt.

    It is not what ``crypt`` writes with the same sign, and that ends without the padding.
    """

    def __init__(self, text: str, salt: bytes, digest: bytes) -> None:
        super().__init__("sha512", text)
        self._salt = salt
        self._digest = digest

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Raises ``PasswordFormatError`` where it only begins like one."""
        found = _MOSQUITTO_6_TEXT.fullmatch(text)
        if found is None:
            _check_beginning(text, r"\$6\$", "mosquitto's $6$SALT$HASH")
            return None
        return cls(text, _bytes_of(found[1]), _bytes_of(found[2]))

    @staticmethod
    def make(password: bytes) -> str:
        """The text of a password."""
        salt = secrets.token_bytes(_SALT_BYTES)
        digest = hashlib.sha512(password + salt).digest()
        return f"$6${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"

    def matches(self, password: bytes) -> bool:
        """Compare."""
        return hmac.compare_digest(hashlib.sha512(password + self._salt).digest(), self._digest)

    def decoy(self) -> StoredPassword:
        """Another digest."""
        return Sha512("", self._salt, secrets.token_bytes(64))


class Bcrypt(StoredPassword):
    """``$2b$10$`` and 53 more characters (also ``$2a$``, ``$2y$``), as ``htpasswd -B`` writes it.

    bcrypt reads 72 bytes of a password, so a longer one is refused instead of cut.
    """

    def __init__(self, text: str, cost: int) -> None:
        super().__init__("bcrypt", text, 2**cost * _BCRYPT_STEP_MS)
        self.cost = cost
        self._raw = text.encode()

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Raises ``PasswordFormatError`` where it only begins like one, or costs too much."""
        found = _BCRYPT_TEXT.fullmatch(text)
        if found is None:
            _check_beginning(text, r"\$2[abxy]?\$", "a bcrypt hash")
            return None
        cost = int(found[1])
        if cost < 4:
            raise PasswordFormatError(f"a bcrypt cost of {cost} is below 4")
        _check_work(f"a bcrypt cost of {cost}", 2**cost * _BCRYPT_STEP_MS)
        return cls(text, cost)

    @staticmethod
    def make(password: bytes, cost: int = BCRYPT_COST) -> str:
        """The text of a password. Raises ``PasswordFormatError`` where it is too long."""
        if len(password) > BCRYPT_PASSWORD_BYTES_MAX:
            raise PasswordFormatError(
                f"bcrypt takes passwords of at most {BCRYPT_PASSWORD_BYTES_MAX} bytes,"
                f" this one has {len(password)}"
            )
        return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()

    def matches(self, password: bytes) -> bool:
        """Compare."""
        equal = bcrypt.checkpw(password[:BCRYPT_PASSWORD_BYTES_MAX], self._raw)
        # The work is done even where the answer is known, so the time does not tell of it.
        return equal and len(password) <= BCRYPT_PASSWORD_BYTES_MAX

    def decoy(self) -> StoredPassword:
        """A fresh salt, and a digest that is nobody's."""
        salt = bcrypt.gensalt(self.cost).decode()
        return Bcrypt(salt + secrets.token_hex(16)[:31], self.cost)


class Argon2id(StoredPassword):
    """``$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH``, the notation of all its libraries."""

    def __init__(self, text: str, memory_kib: int, passes: int, lanes: int) -> None:
        super().__init__("argon2id", text, memory_kib * passes * _KIB_PASS_MS)
        self._parameters = f"m={memory_kib},t={passes},p={lanes}"
        self._raw = text.encode()

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Raises ``PasswordFormatError`` where it only begins like one, or costs too much."""
        found = _ARGON2_TEXT.fullmatch(text)
        if found is None:
            _check_beginning(
                text, r"\$argon2", "an argon2id hash ($argon2id$v=19$m=..,t=..,p=..$SALT$HASH)"
            )
            return None
        memory, passes, lanes = (int(found[place]) for place in (1, 2, 3))
        if not (passes and 1 <= lanes <= 16 and memory >= 8 * lanes):
            raise PasswordFormatError(
                f"m={memory},t={passes},p={lanes} are no parameters of argon2id"
            )
        _check_memory("m", memory)
        _check_work(f"m={memory},t={passes}", memory * passes * _KIB_PASS_MS)
        made = cls(text, memory, passes, lanes)
        made._check()
        return made

    @staticmethod
    def make(password: bytes) -> str:
        """The text of a password."""
        return hash_secret(
            password,
            secrets.token_bytes(_SALT_BYTES),
            time_cost=ARGON2_PASSES,
            memory_cost=ARGON2_MEMORY_KIB,
            parallelism=1,
            hash_len=32,
            type=Type.ID,
        ).decode()

    def _check(self) -> None:
        """Salt and hash have lengths that argon2 takes; found out now and not when a client comes."""
        salt, digest = self.text.split("$")[4:6]
        if len(_bytes_of(salt)) < 8 or not 4 <= len(_bytes_of(digest)) <= 512:
            raise PasswordFormatError("this begins like an argon2id hash but is not a whole one")

    def matches(self, password: bytes) -> bool:
        """Compare."""
        try:
            return verify_secret(self._raw, password, Type.ID)
        except (VerificationError, InvalidHashError):
            return False

    def decoy(self) -> StoredPassword:
        """The same parameters, and a digest that is nobody's."""
        salt, digest = (_unpadded(secrets.token_bytes(size)) for size in (_SALT_BYTES, 32))
        found = Argon2id.read(f"$argon2id$v=19${self._parameters}${salt}${digest}")
        assert found is not None  # It has the parameters of one that was read.
        return found


class Scrypt(StoredPassword):
    """``$scrypt$ln=14,r=8,p=1$SALT$HASH``, as passlib writes it."""

    def __init__(self, text: str, costs: tuple[int, int, int], salt: bytes, digest: bytes) -> None:
        log_n, blocks, lanes = costs
        super().__init__("scrypt", text, 2**log_n * blocks * lanes * _SCRYPT_STEP_MS)
        self._costs = costs
        self._salt = salt
        self._digest = digest

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Raises ``PasswordFormatError`` where it only begins like one, or costs too much."""
        found = _SCRYPT_TEXT.fullmatch(text)
        if found is None:
            _check_beginning(text, r"\$scrypt\$", "$scrypt$ln=..,r=..,p=..$SALT$HASH")
            return None
        log_n, blocks, lanes = (int(found[place]) for place in (1, 2, 3))
        if not (1 <= log_n <= 24 and blocks and lanes):
            raise PasswordFormatError(
                f"ln={log_n},r={blocks},p={lanes} are no parameters of scrypt"
            )
        _check_memory(f"ln={log_n},r={blocks}", 2**log_n * blocks // 8)
        _check_work(f"ln={log_n},r={blocks},p={lanes}", 2**log_n * blocks * lanes * _SCRYPT_STEP_MS)
        return cls(text, (log_n, blocks, lanes), _bytes_of(found[4]), _bytes_of(found[5]))

    @staticmethod
    def make(password: bytes) -> str:
        """The text of a password."""
        salt = secrets.token_bytes(_SALT_BYTES)
        costs = (SCRYPT_LOG_N, SCRYPT_BLOCKS, 1)
        digest = _scrypt(password, salt, costs, 32)
        return f"$scrypt$ln={costs[0]},r={costs[1]},p=1${_unpadded(salt)}${_unpadded(digest)}"

    def matches(self, password: bytes) -> bool:
        """Compare."""
        found = _scrypt(password, self._salt, self._costs, len(self._digest))
        return hmac.compare_digest(found, self._digest)

    def decoy(self) -> StoredPassword:
        """Another digest."""
        return Scrypt("", self._costs, self._salt, secrets.token_bytes(len(self._digest)))


class Pbkdf2(StoredPassword):
    """``$pbkdf2-sha512$ROUNDS$SALT$HASH`` as passlib writes it, or mosquitto's ``$7$ROUNDS$SALT$HASH``."""

    def __init__(
        self, text: str, digest_name: str, rounds: int, salt: bytes, digest: bytes
    ) -> None:
        super().__init__(f"pbkdf2-{digest_name}", text, rounds * _PBKDF2_ROUND_MS[digest_name])
        self._digest_name = digest_name
        self._rounds = rounds
        self._salt = salt
        self._digest = digest

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Raises ``PasswordFormatError`` where it only begins like one, or costs too much."""
        if found := _PBKDF2_TEXT.fullmatch(text):
            name, rounds, salt, digest = found[1], int(found[2]), found[3], found[4]
        elif found := _MOSQUITTO_7_TEXT.fullmatch(text):
            name, rounds, salt, digest = "sha512", int(found[1]), found[2], found[3]
        elif text.startswith("$7$"):
            _check_beginning(text, r"\$7\$", "mosquitto's $7$ROUNDS$SALT$HASH")
            return None
        else:
            _check_beginning(text, r"\$pbkdf2", "$pbkdf2-sha256$ROUNDS$SALT$HASH (or sha512)")
            return None
        if rounds < 1:
            raise PasswordFormatError("pbkdf2 takes at least one round")
        _check_work(f"{rounds} rounds of pbkdf2-{name}", rounds * _PBKDF2_ROUND_MS[name])
        return cls(text, name, rounds, _bytes_of(salt), _bytes_of(digest))

    @staticmethod
    def make(password: bytes, digest_name: str) -> str:
        """The text of a password, in passlib's notation."""
        rounds = PBKDF2_ROUNDS[digest_name]
        salt = secrets.token_bytes(_SALT_BYTES)
        digest = hashlib.pbkdf2_hmac(digest_name, password, salt, rounds)
        parts = (_unpadded(part).replace("+", ".") for part in (salt, digest))
        return f"$pbkdf2-{digest_name}${rounds}${'$'.join(parts)}"

    def matches(self, password: bytes) -> bool:
        """Compare."""
        found = hashlib.pbkdf2_hmac(
            self._digest_name, password, self._salt, self._rounds, len(self._digest)
        )
        return hmac.compare_digest(found, self._digest)

    def decoy(self) -> StoredPassword:
        """Another digest."""
        digest = secrets.token_bytes(len(self._digest))
        return Pbkdf2("", self._digest_name, self._rounds, self._salt, digest)


def _scrypt(password: bytes, salt: bytes, costs: tuple[int, int, int], size: int) -> bytes:
    log_n, blocks, lanes = costs
    memory = 128 * blocks * (2**log_n + lanes + 2) + 1_048_576  # What OpenSSL asks for, and some.
    return hashlib.scrypt(
        password, salt=salt, n=2**log_n, r=blocks, p=lanes, maxmem=memory, dklen=size
    )


def _check_beginning(text: str, beginning: str, notation: str) -> None:
    if re.match(beginning, text):
        raise PasswordFormatError(f"this begins like {notation} but is not a whole one")


def _check_work(what: str, work_ms: float) -> None:
    if work_ms > WORK_MS_MAX:
        raise PasswordFormatError(
            f"{what} would take about {work_ms / 1000:.0f} s for every comparison,"
            f" and {WORK_MS_MAX / 1000:.0f} s are the most"
        )


def _check_memory(what: str, memory_kib: int) -> None:
    if memory_kib > MEMORY_KIB_MAX:
        raise PasswordFormatError(
            f"{what} would take {memory_kib // 1024} MiB for every comparison,"
            f" and {MEMORY_KIB_MAX // 1024} MiB are the most"
        )


def _bytes_of(text: str) -> bytes:
    """Read base64 with or without its padding, with ``.`` for ``+`` or not."""
    plain = text.rstrip("=").replace(".", "+")
    try:
        found = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        found = b""
    if not found:
        raise PasswordFormatError("its salt or hash is no base64")
    return found


def _unpadded(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")
