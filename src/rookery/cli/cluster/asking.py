"""Asking a node on its metrics port: whether it is ready, what it knows of its cluster, and to act on it."""

import http.client
import json
from dataclasses import dataclass
from typing import Any, Final

ASK_SECONDS_MAX: Final = 2.0
ANSWER_BYTES_MAX: Final = 16_777_216


class Unreachable(Exception):
    """No answer that can be read; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What a node said."""

    status_code: int
    data: dict[str, Any]

    @property
    def error(self) -> str:
        """Why it refused."""
        return str(self.data.get("error", f"HTTP status {self.status_code}"))


@dataclass(frozen=True)
class Readiness:
    """Whether a node is ready for clients."""

    ready: bool
    reasons: tuple[str, ...]
    """Why not."""


def get(address: str, path: str, seconds_max: float = ASK_SECONDS_MAX) -> Answer:
    """What a node (``host:port`` of its metrics) tells; raises ``Unreachable``."""
    return _exchange("GET", address, path, None, {}, seconds_max)


def post(
    address: str, path: str, secret: str, arguments: dict[str, Any], seconds_max: float
) -> Answer:
    """Have a node act; raises ``Unreachable``."""
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    return _exchange("POST", address, path, json.dumps(arguments), headers, seconds_max)


def readiness(address: str, seconds_max: float = ASK_SECONDS_MAX) -> Readiness:
    """Whether a node is ready; one that does not answer is not."""
    try:
        answer = get(address, "/health/ready", seconds_max)
    except Unreachable as fault:
        return Readiness(False, (str(fault),))
    if answer.status_code == 200:
        return Readiness(True, ())
    checks = answer.data.get("checks", [])
    return Readiness(
        False,
        tuple(f"{each['name']}: {each['detail']}" for each in checks if not each["ok"])
        or (answer.error,),
    )


def _exchange(
    method: str,
    address: str,
    path: str,
    body: str | None,
    headers: dict[str, str],
    seconds_max: float,
) -> Answer:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=seconds_max)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = json.loads(response.read(ANSWER_BYTES_MAX))
    except TimeoutError:
        raise Unreachable(f"no answer within {seconds_max:g} s") from None
    except OSError as error:
        raise Unreachable((error.strerror or str(error)).lower()) from None
    except (http.client.HTTPException, ValueError):
        raise Unreachable("an answer that is not Rookery's") from None
    finally:
        connection.close()
    if not isinstance(data, dict):
        raise Unreachable("an answer that is not Rookery's")
    return Answer(response.status, data)
