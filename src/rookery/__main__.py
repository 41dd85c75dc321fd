"""``python -m rookery``: the same as the ``rookery`` command."""

from rookery.cli.main import main

main()
