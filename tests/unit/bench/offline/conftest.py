"""Memory is read as often as for a proof, but at once: the figures are not looked at here."""

import pytest


@pytest.fixture(autouse=True)
def _settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery_bench.accounting._SETTLE_INTERVAL_SECONDS", 0.01)
