"""What checking tokens costs, and how long the loop stands still when a thousand clients bring one at once.

PYTHONPATH=src .venv/bin/python benches/tokens.py
"""

import asyncio
import time
from collections.abc import Awaitable

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from rookery.actors.clock import SystemClock
from rookery.app import tune_interpreter
from rookery.auth.jwt import JwtSource, TokenRules
from rookery.auth.jwt_keys import RSA, Keys, VerifyKey
from rookery.auth.source import Verdict
from rookery.ports import Accepted, Attempt

CLIENTS = 1000
SECRET = b"s" * 64
SIGNERS = {
    "HS256": SECRET,
    "RS256": rsa.generate_private_key(65537, 2048),
    "PS512": rsa.generate_private_key(65537, 4096),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


async def storm(algorithm: str) -> tuple[float, float, float]:
    """Microseconds each, seconds for all, and the longest stall in milliseconds.

    All of it is the thread's own time, so what else the machine does is left out.
    """
    signer = SIGNERS[algorithm]
    public = signer if isinstance(signer, bytes) else signer.public_key()
    algorithms = RSA if algorithm in RSA else frozenset({algorithm})

    async def load() -> tuple[VerifyKey, ...]:
        return (VerifyKey(None, public, algorithms),)

    clock = SystemClock()
    source = JwtSource(Keys(load, clock, 0), clock, TokenRules())
    await source.start()
    claims = {"sub": "meter", "exp": time.time() + 3600, "acl": {"pub": ["a/%c/#"]}}
    password = jwt.encode(claims, signer, algorithm).encode()
    attempts = [Attempt(f"c{n}", "u", password, "127.0.0.1", "tcp") for n in range(CLIENTS)]
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    async def one(found: Verdict | Awaitable[Verdict]) -> None:
        verdict = await found if isinstance(found, Awaitable) else found
        assert isinstance(verdict, Accepted), verdict

    watching = asyncio.get_running_loop().create_task(watch())
    began = time.thread_time()
    # As they come in one turn of the node: all are asked before the loop goes on.
    waiting = [
        asyncio.get_running_loop().create_task(one(source.authenticate(a))) for a in attempts
    ]
    asked = time.thread_time() - began
    await asyncio.gather(*waiting)
    took = time.thread_time() - began
    watching.cancel()
    await source.stop()
    return took / CLIENTS * 1e6, took, max(longest, asked) * 1e3


def main() -> None:
    tune_interpreter()
    print(f"{CLIENTS} tokens at once   us each   s in all   longest stall in ms")
    for algorithm in SIGNERS:
        each, took, stall = asyncio.run(storm(algorithm))
        print(f"{algorithm:<20} {each:9.0f} {took:10.3f} {stall:21.1f}")


if __name__ == "__main__":
    main()
