"""Whom all brokers let in."""

from typing import Final

USERNAME: Final = "bench"
PASSWORD: Final = "rookery-bench"
