"""HTTP as the sources use it: one client, bounded in every direction."""

import ssl
from typing import Final
from urllib.parse import urlsplit

import httpx

RESPONSE_BYTES_MAX: Final = 1_048_576


class WebFault(Exception):
    """No usable answer came; the text says why, without what was asked."""


def make_client(
    context: ssl.SSLContext, connections_max: int, connect_seconds: float, seconds: float
) -> httpx.AsyncClient:
    """A client whose waiting for a connection counts as waiting for the answer."""
    return httpx.AsyncClient(
        verify=context,
        limits=httpx.Limits(max_connections=connections_max, max_keepalive_connections=None),
        timeout=httpx.Timeout(seconds, connect=connect_seconds),
        trust_env=False,
    )


async def ask(client: httpx.AsyncClient, request: httpx.Request) -> tuple[int, str, bytes]:
    """The status, media type and body of the answer. Raises ``WebFault``."""
    try:
        response = await client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > RESPONSE_BYTES_MAX:
                    raise WebFault(f"the answer is longer than {RESPONSE_BYTES_MAX} bytes")
        finally:
            await response.aclose()
    except httpx.HTTPError as error:
        raise WebFault(describe(error)) from error
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.status_code, media_type, bytes(body)


def describe(error: httpx.HTTPError) -> str:
    """What went wrong, in words: many of these errors have no text of their own."""
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, httpx.PoolTimeout):
        return "all connections stayed busy"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def place_of(url: str) -> str:
    """A URL for people: without a query, which may hold secrets, and without a user's name."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
