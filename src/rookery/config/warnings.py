"""What is allowed in a configuration but seldom meant."""

import ipaddress
from collections.abc import Container, Iterator

from rookery.config.errors import Path
from rookery.config.listeners import Listener
from rookery.config.models import Config

USERS: Path = ("broker", "auth", "users")


def warnings(config: Config, references: Container[Path] = ()) -> list[str]:
    """One sentence for each thing an operator should know before the node starts.

    ``references`` are the paths whose values the configuration only refers to.
    """
    return [*_access(config), *_users(config, references), *_listeners(config), *_store(config)]


def _access(config: Config) -> Iterator[str]:
    if not config.broker.auth.anonymous_allowed:
        return
    public = [listener for listener in config.active_listeners if _public(listener)]
    if public:
        places = ", ".join(f"{item.name} ({item.host}:{item.port})" for item in public)
        yield (
            f"anonymous access is open on {places}: set broker.auth.enabled to true and list users in "
            "broker.auth.users, or give the listeners the host 127.0.0.1"
        )


def _public(listener: Listener) -> bool:
    """Whether other machines may reach the listener with no more than its address."""
    if listener.type == "unix" or (listener.tls and listener.tls.client_certificate == "required"):
        return False
    host = listener.host or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() != "localhost"


def _users(config: Config, references: Container[Path]) -> Iterator[str]:
    auth = config.broker.auth
    clear = [
        user.username
        for index, user in enumerate(auth.users)
        if not user.hashed and (*USERS, index, "password") not in references
    ]
    if clear:
        yield (
            f"the configuration holds the passwords of {', '.join(clear)} in plain text: put their bcrypt "
            "hashes there instead"
        )
    if auth.enabled is False and auth.users:
        yield "broker.auth.users is not used: broker.auth.enabled is false, so everyone is let in"
    if auth.enabled and not any(user.enabled for user in auth.users):
        yield "nobody can connect: broker.auth.enabled is true and broker.auth.users has no enabled user"


def _listeners(config: Config) -> Iterator[str]:
    takers = [item for item in config.listeners if item.type == "tcp" and item.port is None]
    if config.listeners and not takers and "mqtt_port" in config.broker.model_fields_set:
        yield "broker.mqtt_port is not used: every entry of listeners has a port of its own"
    for index, listener in enumerate(config.listeners):
        if listener.proxy_protocol and listener.type != "unix" and _public(listener):
            yield (
                f"listeners.{index} believes the client address in PROXY headers: make sure that only "
                "the proxy can reach it"
            )


def _store(config: Config) -> Iterator[str]:
    store = config.store
    if store.durability != "memory":
        return
    yield (
        "store.durability is memory: sessions, the messages owed to them and retained messages end with "
        "the node"
    )
    if store.directory is not None:
        yield "store.directory is not used: store.durability is memory"
