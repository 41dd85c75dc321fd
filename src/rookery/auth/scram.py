"""SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677) as enhanced authentication of MQTT 5.0.

The client proves that it knows the password and the node that it knows the user, and neither tells the
other what it could be copied with. What is stored is a verifier, in the form that PostgreSQL writes:
``SCRAM-SHA-256$4096:salt$stored key:server key``. The node does no costly work, the client does.

An unknown name gets a salt and an iteration count like any other, the same each time, and its proof is
checked and fails: nothing tells it from a wrong password. There is no channel binding, so the client must
not ask for it.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scramp import ScramException, ScramMechanism

from rookery.auth.principals import principal_of
from rookery.auth.scram_verifier import ITERATIONS_DEFAULT, MECHANISMS, Verifier, prepared
from rookery.auth.source import NotKnown
from rookery.mqtt.types import ReasonCode
from rookery.ports import Accepted, Attempt, Challenge, Exchange, Principal, Refused

SALT_BYTES: Final = 16
DATA_BYTES_MAX: Final = 2048
"""Of one message: names are prepared character by character on the loop."""


@dataclass(frozen=True)
class ScramUser:
    """Somebody who may connect by SCRAM."""

    name: str
    verifier: Verifier
    superuser: bool = False
    groups: frozenset[str] = frozenset()


class ScramSource:
    """Lets in who proves to know the password behind a verifier."""

    name: Final = "scram"

    def __init__(self, users: Iterable[ScramUser]) -> None:
        self.methods = frozenset(MECHANISMS)
        self._users = {(prepared(user.name), user.verifier.mechanism): user for user in users}
        self._iterations = {
            mechanism: sorted(
                user.verifier.iterations
                for user in self._users.values()
                if user.verifier.mechanism == mechanism
            )
            for mechanism in MECHANISMS
        }
        # The same after a restart, or an unknown name would be told by a salt that changes.
        keys = sorted(user.verifier.server_key for user in self._users.values())
        self._decoy_key = hashlib.sha256(b"decoy" + b"".join(keys)).digest()

    def authenticate(self, attempt: Attempt) -> NotKnown:
        """Leave a CONNECT without the method to others."""
        return NotKnown("the client does not ask for SCRAM")

    def begin(self, method: str, attempt: Attempt) -> Exchange:
        """Begin an exchange; raises ``ValueError`` for a method that is not offered."""
        if method not in self.methods:
            raise ValueError(f"no authentication method {method!r} on {attempt.listener!r}")
        return ScramExchange(self, method, attempt)

    @property
    def generation(self) -> int:
        """The users of the configuration change with a restart only."""
        return 0

    def still_admits(self, principal: Principal) -> str | None:
        """Whoever was let in stays."""
        return None

    async def start(self) -> None:
        """Nothing is opened."""

    async def stop(self) -> None:
        """Nothing is held."""

    def find(self, name: str, mechanism: str) -> ScramUser | None:
        """The user of a prepared name."""
        return self._users.get((name, mechanism))

    def decoy(self, name: str, mechanism: str) -> Verifier:
        """What nobody can prove to know, always the same for a name."""
        size = hashlib.new(MECHANISMS[mechanism]).digest_size
        seed = f"{mechanism} {name}".encode()
        salt, stored_key, server_key = (
            hmac.digest(self._decoy_key, part + seed, "sha512")
            for part in (b"salt", b"stored", b"server")
        )
        # Somebody's count: one that no user has would tell the name apart.
        counts = self._iterations[mechanism] or [ITERATIONS_DEFAULT]
        iterations = counts[salt[-1] % len(counts)]
        return Verifier(
            mechanism, iterations, salt[:SALT_BYTES], stored_key[:size], server_key[:size]
        )


class ScramExchange:
    """One exchange: the client's first message, our challenge, its proof and our own."""

    def __init__(self, source: ScramSource, mechanism: str, attempt: Attempt) -> None:
        self._source = source
        self._mechanism = mechanism
        self._attempt = attempt
        self._user: ScramUser | None = None
        self._name = ""
        self._challenged = False
        self._server = ScramMechanism(mechanism).make_server(self._keys)

    async def step(self, data: bytes | None) -> Accepted | Refused | Challenge:
        """Take the client's next message."""
        if data is None:
            return _refused("the client sent no authentication data")
        if len(data) > DATA_BYTES_MAX:
            return _refused(f"the authentication data is longer than {DATA_BYTES_MAX} bytes")
        try:
            text = data.decode()
            if self._challenged:
                return self._finish(text)
            self._challenged = True
            self._server.set_client_first(text)
            return Challenge(self._server.get_server_first().encode())
        except UnicodeDecodeError:
            return _refused("the authentication data is no text in UTF-8")
        except ScramException as error:
            who = f"user {self._name!r}" if self._user else f"no user {self._name!r}"
            return _refused(f"{self._mechanism}: {error} ({who})")

    def _finish(self, text: str) -> Accepted | Refused:
        self._server.set_client_final(text)
        user = self._user
        if user is None:
            return _refused(f"{self._mechanism}: there is no user {self._name!r}")
        principal = principal_of(
            self._attempt,
            user.name,
            self._source.name,
            superuser=user.superuser,
            groups=user.groups,
        )
        return Accepted(principal, self._server.get_server_final().encode())

    def _keys(self, name: str) -> tuple[bytes, bytes, bytes, int]:
        self._name = name
        self._user = self._source.find(name, self._mechanism)
        decoy = self._source.decoy(
            name, self._mechanism
        )  # Made for everybody, for the time it takes.
        found = decoy if self._user is None else self._user.verifier
        return found.salt, found.stored_key, found.server_key, found.iterations


def _refused(reason: str) -> Refused:
    return Refused(ReasonCode.NOT_AUTHORIZED, reason)
