"""The configuration: models, loading from file, environment and command line, and where values came from."""

from rookery.config.authentication import User
from rookery.config.authorization import Rule
from rookery.config.errors import ConfigError, ConfigErrors, Origin
from rookery.config.explain import Row, explain
from rookery.config.listeners import Listener, Tls
from rookery.config.load import (
    Loaded,
    access_directory,
    base_directory,
    find_file,
    load,
    store_directory,
    unnamed_directory,
)
from rookery.config.models import Config, Store
from rookery.config.settings import to_settings
from rookery.config.warnings import warnings

__all__ = [
    "Config",
    "ConfigError",
    "ConfigErrors",
    "Listener",
    "Loaded",
    "Origin",
    "Row",
    "Rule",
    "Store",
    "Tls",
    "User",
    "access_directory",
    "base_directory",
    "explain",
    "find_file",
    "load",
    "store_directory",
    "to_settings",
    "unnamed_directory",
    "warnings",
]
