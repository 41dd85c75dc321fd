"""What is allowed in a configuration but seldom meant."""

from collections.abc import Container, Iterator
from urllib.parse import urlsplit

from rookery.config.cluster import known_servers, reaches_out
from rookery.config.errors import Path
from rookery.config.listeners import Listener
from rookery.config.models import Config
from rookery.config.sections import is_loopback

USERS: Path = ("broker", "auth", "users")


def warnings(config: Config, stored_users: int = 0, references: Container[Path] = ()) -> list[str]:
    """One sentence for each thing an operator should know before the node starts.

    ``stored_users`` is how many users the store has: they are no part of the configuration.
    ``references`` are the paths whose values the configuration only refers to.
    """
    return [
        *_access(config, stored_users),
        *_users(config, stored_users, references),
        *_sources(config),
        *_listeners(config),
        *_rules(config),
        *_store(config),
        *_cluster(config),
    ]


def _access(config: Config, stored_users: int) -> Iterator[str]:
    """Who gets in without proving anything."""
    if config.broker.auth.enabled is False:
        yield "everyone is let in whatever name and password they give: broker.auth.enabled is false"
    policies = [
        (listener, _anonymous(config, listener, stored_users))
        for listener in config.active_listeners
    ]
    public = [item for item, policy in policies if policy == "allow" and _public(item)]
    if public:
        places = ", ".join(f"{item.name} ({item.host}:{item.port})" for item in public)
        yield (
            f"anonymous access is open on {places}: set {_settings(public)} to deny or loopback"
            f"{_users_help(config, public, ' and ')}, or give the listeners the host 127.0.0.1"
        )
    local = [item for item, policy in policies if policy == "loopback" and _remote(item)]
    if local:
        names = ", ".join(item.name or "" for item in local)
        yield (
            f"anonymous clients are let in from this machine only ({names}; "
            f"{_settings(local)}: loopback){_users_help(config, local, '; ')}"
        )


def _settings(listeners: list[Listener]) -> str:
    """The settings that say who comes in anonymously there."""
    own = [item.anonymous is not None for item in listeners]
    names = ["authentication.anonymous"] * (not all(own)) + ["listeners[].anonymous"] * any(own)
    return " and ".join(names)


def _users_help(config: Config, listeners: list[Listener], joint: str) -> str:
    """The advice to add users, where one of these listeners asks for them."""
    asked = any("users" in config.order_of(item) for item in listeners)
    return f"{joint}add users with 'rookery user add'" if asked else ""


def _anonymous(config: Config, listener: Listener, stored_users: int) -> str:
    """The policy of a listener as it comes out."""
    policy = config.anonymous_of(listener)
    if policy is not None:
        return policy
    known = stored_users + len(config.broker.auth.users)
    others = [name for name in config.order_of(listener) if name != "users" or known]
    return "deny" if others else "loopback"


def _public(listener: Listener) -> bool:
    """Whether other machines may come in through the listener with no more than its address."""
    asks = listener.tls is not None and listener.tls.client_certificate == "required"
    return _remote(listener) and not asks


def _remote(listener: Listener) -> bool:
    """Whether other machines reach the listener at all."""
    if listener.type == "unix":
        return False
    return not is_loopback(listener.host or "")


def _users(config: Config, stored_users: int, references: Container[Path]) -> Iterator[str]:
    auth = config.broker.auth
    clear = [
        user.username
        for index, user in enumerate(auth.users)
        if not user.hashed and (*USERS, index, "password") not in references
    ]
    if clear:
        yield (
            f"the configuration holds the passwords of {', '.join(clear)} in plain text: put their hashes "
            "there instead, as 'rookery user hash' prints them"
        )
    weak = [user.username for user in auth.users if user.hashed and user.guessable]
    if weak:
        yield (
            f"the hashes of {', '.join(weak)} are soon guessed by someone who has read them: replace them "
            "by those of 'rookery user hash'"
        )
    orders = [(item, config.order_of(item)) for item in config.active_listeners]
    asked = {name for _, order in orders for name in order}
    if auth.users and "users" not in asked:
        why = "broker.auth.enabled is false" if auth.enabled is False else "no listener asks users"
        yield f"broker.auth.users is not used: {why}"
    for name in ("password_file", "jwt", "http", "certificate", "scram", "ldap"):
        if getattr(config.authentication, name) is not None and name not in asked:
            yield (f"authentication.{name} is not used: authentication.order does not list {name}")
    if not stored_users and not any(user.enabled for user in auth.users):
        shut = [
            item.name or ""
            for item, order in orders
            if order in ((), ("users",)) and config.anonymous_of(item) == "deny"
        ]
        if shut:
            yield (
                f"nobody can connect to {', '.join(shut)}: anonymous clients are denied and there is no "
                "enabled user; add one with 'rookery user add'"
            )


def _sources(config: Config) -> Iterator[str]:
    """What goes in clear to servers on other machines, or comes from there."""
    settings = config.authentication
    http, ldap, jwt = settings.http, settings.ldap, settings.jwt
    if http is not None and _in_clear(http.url):
        yield "authentication.http.url sends passwords in clear to another machine: use https"
    if ldap is not None and _in_clear(ldap.url) and not ldap.starttls:
        yield "authentication.ldap.url sends passwords in clear to another machine: use ldaps or starttls"
    if jwt is not None and jwt.jwks_url is not None and _in_clear(jwt.jwks_url):
        yield (
            "authentication.jwt.jwks_url fetches keys in clear from another machine, and whoever is on the "
            "way could put in others: use https"
        )


def _in_clear(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "ldap") and not is_loopback(parts.hostname or "")


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


def _rules(config: Config) -> Iterator[str]:
    names = {listener.name for listener in config.active_listeners}
    for index, rule in enumerate(config.authorization.rules):
        if rule.listener is not None and rule.listener not in names:
            yield f"authorization.rules.{index} is about nobody: there is no listener {rule.listener}"


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


def _cluster(config: Config) -> Iterator[str]:
    cluster, peers = config.cluster, config.broker.peer_nodes
    if not cluster.enabled:
        if peers:
            yield "broker.peer_nodes is not used, and this node is on its own: cluster.enabled is false"
        return
    if reaches_out(cluster, peers) and cluster.tls is None:
        yield (
            "what goes between nodes is not encrypted, and whoever is on the way can read the messages: "
            "set cluster.tls, or keep the nodes in a network of their own"
        )
    nats = cluster.nats
    servers = known_servers(nats, peers)
    if nats.replicas > 1 and servers < 3 and not nats.urls and cluster.discovery == "static":
        yield (
            f"cluster.nats.replicas is {nats.replicas}, and the configuration tells of {servers} NATS "
            f"server{'s' * (servers > 1)}: the node is not ready until three are there; name the others in "
            "broker.peer_nodes or cluster.nats.routes, or set replicas to 1, with which nothing survives "
            "the loss of a disk"
        )
