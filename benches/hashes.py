"""What one password comparison costs: ``python benches/hashes.py`` prints the table of docs/authentication.md.

One line for each algorithm with the parameters that ``rookery user`` gives new hashes, and for the two
notations of mosquitto; the best of five on one core.
"""

import time

from rookery.auth.hashes import StoredPassword
from rookery.auth.passwords import HASHES, hash_password, parse_hash

REPEATS = 5
MOSQUITTO_7 = (
    "$7$101$EX4j+uKRGy7i6Bdi$Xdbg63c1PoPziIoMhD7QGiLHmkNDNGcZEeQUpK8gmJte65A2a8PmiHPVj+++eKTezb5X"
    "4iGPm62KdO+eTP0f7g=="
)


def milliseconds(stored: StoredPassword) -> float:
    best = 1e9
    for _ in range(REPEATS):
        began = time.perf_counter()
        stored.matches(b"secret")
        best = min(best, time.perf_counter() - began)
    return best * 1000


def main() -> None:
    texts = {name: hash_password("secret", name) for name in HASHES}
    for name, text in (texts | {"mosquitto $7$101$": MOSQUITTO_7}).items():
        stored = parse_hash(text)
        assert stored is not None
        print(f"{name:20} {milliseconds(stored):9.3f} ms, taken for {stored.work_ms:9.3f} ms")


if __name__ == "__main__":
    main()
