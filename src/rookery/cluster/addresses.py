"""Addresses as people write them: ``host:port``, ``[::1]:port``, and, where a port is known, ``host``."""

from typing import Final

PORT_MAX: Final = 65_535


class BadAddress(ValueError):
    """It is none; the text says what would be right."""


def split_address(text: str, port: int | None = None) -> tuple[str, int]:
    """Host and port; ``port`` is taken where the text has none.

    Raises:
        BadAddress: it is no address, or has no port.
    """
    host, said = text, ""
    if text.startswith("["):
        host, _, said = text[1:].partition("]")
        if said and not said.startswith(":"):
            raise BadAddress(f"{text!r} is no address: after ] only :port can follow")
        said = said[1:]
    elif text.count(":") == 1:
        host, _, said = text.partition(":")
        if not said:
            raise BadAddress(f"{text!r} is no address: a port is to follow the colon")
    if not host or any(each.isspace() or each in "[]/@" for each in host):
        raise BadAddress(f"{text!r} is no address: it has to be host:port or [IPv6]:port")
    if not said:
        if port is None:
            raise BadAddress(f"{text!r} has no port: it has to be host:port or [IPv6]:port")
        return host, port
    if not said.isascii() or not said.isdigit() or not 0 <= int(said) <= PORT_MAX:
        raise BadAddress(f"{text!r} is no address: {said!r} is no port")
    return host, int(said)


def join_address(host: str, port: int) -> str:
    """As ``split_address`` takes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
