"""What all tests share.

The same tests run on the interpreted core (``PYTHONPATH=src``) and on the installed, compiled one;
the last lines of a run say which it was. Helpers live in ``tests/support`` and are imported as
``tests.support.x``: ``pythonpath`` in pyproject.toml puts the repository's root on the path. A
fixture that only one folder needs belongs in that folder's own conftest.
"""

import pytest

import rookery.mqtt.types


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which core the tests ran on."""
    where = rookery.mqtt.types.__file__
    kind = "interpreted" if where.endswith(".py") else "compiled"
    terminalreporter.write_line(f"rookery's core was {kind}: {where}")
