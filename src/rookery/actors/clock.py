"""The only place that reads the time or chance."""

import random
import secrets
import time


class SystemClock:
    """The operating system's clocks."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()


def chance() -> int:
    """A non-negative random number below 2**30, not for secrets."""
    return random.getrandbits(30)


def new_client_id() -> str:
    """A client id that nobody has: 128 random bits. [MQTT-3.1.3-6]"""
    return "rookery-" + secrets.token_hex(16)


def new_challenge() -> bytes:
    """What a proof has to cover so that none is good twice: 256 random bits."""
    return secrets.token_bytes(32)
