"""The tests. Helpers are imported from the repository's root: ``from tests.support.x import y``."""
