"""``rookery acl``: the rules that are kept in the access database, and what all rules together decide.

A running node takes a change within a second, for the clients it has too. Every change is in the audit, with who
made it. ``test`` and ``explain`` need no running node: they read the configuration, the files and the
database, and ask the web service if there is one.
"""

import json
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from rookery.cli.access import access_faults_told, access_or_exit, operator
from rookery.cli.options import ConfigFile, Overrides

if TYPE_CHECKING:
    from rookery.auth.access.file import AccessFile
    from rookery.auth.rules import Subject
    from rookery.config import Loaded
    from rookery.ports import Decision, Principal

app = typer.Typer(
    no_args_is_help=True, help="Add, list and try the rules of who may publish and subscribe."
)

User = Annotated[str | None, typer.Option("--user", help="The user name.")]
Client = Annotated[str | None, typer.Option("--client", help="The client id.")]
Listener = Annotated[str | None, typer.Option("--listener", help="The name of the listener.")]
Attributes = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="NAME=VALUE",
        help="What certificate or token say, as cert_common_name=pump-7. Repeatable.",
    ),
]
Topic = Annotated[str, typer.Option("--topic", help="The topic name, or the topic filter.")]
Action = Annotated[
    Literal["publish", "subscribe"], typer.Option("--action", help="What the client wants to do.")
]
Qos = Annotated[int, typer.Option("--qos", min=0, max=2, help="With which QoS.")]
Retain = Annotated[bool, typer.Option("--retain", help="Whether the message is to be retained.")]
Address = Annotated[str, typer.Option("--address", help="The address the client comes from.")]
Groups = Annotated[
    list[str] | None,
    typer.Option("--group", help="A group, beside those of the user. Repeatable."),
]
RuleTopic = Annotated[
    str,
    typer.Option("--topic", help="The topic filter; ${username}, %c and so on may be in it."),
]
Allow = Annotated[bool | None, typer.Option("--allow/--deny", help="What the rule says.")]
RuleAction = Annotated[
    Literal["publish", "subscribe", "all"], typer.Option("--action", help="Of which requests.")
]
OneGroup = Annotated[str | None, typer.Option("--group", help="The group of users.")]
Network = Annotated[
    str | None, typer.Option("--address", help="The address or network, as 10.0.0.0/8.")
]
Anonymous = Annotated[bool, typer.Option("--anonymous", help="Only clients without a user name.")]
Everybody = Annotated[bool, typer.Option("--all", help="Every client.")]
EveryQos = Annotated[
    list[int] | None, typer.Option("--qos", min=0, max=2, help="Only this QoS. Repeatable.")
]
RuleRetain = Annotated[
    bool | None,
    typer.Option("--retain/--no-retain", help="Only retained messages, or only others."),
]
Literally = Annotated[
    bool, typer.Option("--literal", help="Only subscriptions with this very filter.")
]
Before = Annotated[
    int | None, typer.Option("--before", metavar="N", help="Put it before the rule N.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    topic: RuleTopic,
    allow: Allow = None,
    action: RuleAction = "all",
    user: User = None,
    client: Client = None,
    group: OneGroup = None,
    address: Network = None,
    listener: Listener = None,
    attribute: Attributes = None,
    anonymous: Anonymous = False,
    everybody: Everybody = False,
    qos: EveryQos = None,
    retain: RuleRetain = None,
    literal: Literally = False,
    before: Before = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Add a rule, at the end or before another one. All that is said of the client must hold."""
    from rookery.actors.clock import SystemClock
    from rookery.auth.access.rules import add_rule, rules_in_use
    from rookery.auth.rules import EVERY_QOS, Rule

    if allow is None:
        raise typer.BadParameter("say --allow or --deny")
    subject = _subject(user, client, address, group, listener, attribute, anonymous)
    if everybody == bool(subject.told()):
        raise typer.BadParameter(
            "say whom the rule is about, by --user, --client, --group, --address, --listener, "
            "--attribute and --anonymous together, or by --all alone"
        )
    try:
        rule = Rule(
            allow,
            action,
            _filter(topic),
            subject,
            frozenset(qos) if qos else EVERY_QOS,
            retain,
            literal,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    access, loaded = access_or_exit(config, overrides)
    with access_faults_told(), access.change(operator(), SystemClock().wall()) as change:
        first = not rules_in_use(change.connection)
        try:
            number = add_rule(change, rule, before)
        except KeyError:
            _fail(f"there is no rule {before}; 'rookery acl list' tells which there are")
    typer.echo(f"rule {number}: {rule}")
    if first and loaded.config.authorization.default is None:
        typer.echo("what no rule allows is denied from now on (authorization.default)", err=True)


@app.command("list")
def show(config: ConfigFile = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """List the rules of the access database in the order in which they decide."""
    from rookery.auth.access.file import AccessFault
    from rookery.auth.access.rules import listed_rules, rule_of

    access, _ = access_or_exit(config, overrides)
    with access_faults_told():
        rows = listed_rules(access)
    for number, text, _added_at in rows:
        if as_json:
            typer.echo(f'{{"number": {number}, "rule": {text}}}')
            continue
        try:
            typer.echo(f"{number:>4}  {_printable(str(rule_of(text, number)))}")
        except AccessFault as fault:
            typer.echo(f"{number:>4}  {fault}")


@app.command()
def remove(
    number: Annotated[int, typer.Argument(metavar="N", help="The rule's number.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Remove a rule by its number."""
    from rookery.actors.clock import SystemClock
    from rookery.auth.access.rules import remove_rule

    access, _ = access_or_exit(config, overrides)
    with access_faults_told(), access.change(operator(), SystemClock().wall()) as change:
        if remove_rule(change, number) is None:
            _fail(f"there is no rule {number}; 'rookery acl list' tells which there are")
    typer.echo(f"rule {number}: removed")


@app.command("test")
def try_out(
    topic: Topic,
    action: Action,
    user: User = None,
    client: Client = None,
    qos: Qos = 0,
    retain: Retain = False,
    address: Address = "",
    listener: Listener = None,
    group: Groups = None,
    attribute: Attributes = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Tell whether a client may do something; exit with 0 when it may, else with 1."""
    access, loaded = access_or_exit(config, overrides)
    principal = _principal(loaded, access, user, client, address, listener, group, attribute)
    decision = _decide(loaded, access, principal, action, topic, qos, retain)
    typer.echo("allowed" if decision.allowed else "denied")
    raise typer.Exit(0 if decision.allowed else 1)


@app.command()
def explain(
    topic: Topic,
    action: Action,
    user: User = None,
    client: Client = None,
    qos: Qos = 0,
    retain: Retain = False,
    address: Address = "",
    listener: Listener = None,
    group: Groups = None,
    attribute: Attributes = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Tell which rule decides what a client may do, and where it stands."""
    access, loaded = access_or_exit(config, overrides)
    principal = _principal(loaded, access, user, client, address, listener, group, attribute)
    decision = _decide(loaded, access, principal, action, topic, qos, retain)
    if as_json:
        told = {
            "allowed": decision.allowed,
            "rule": decision.rule,
            "username": principal.name,
            "client_id": principal.client_id,
            "groups": sorted(principal.groups),
            "superuser": principal.superuser,
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    typer.echo("allowed" if decision.allowed else "denied")
    typer.echo(f"  by {_printable(decision.rule)}")


def _decide(
    loaded: "Loaded",
    access: "AccessFile",
    principal: "Principal",
    action: Literal["publish", "subscribe"],
    topic: str,
    qos: int,
    retain: bool,
) -> "Decision":
    """What a node of this configuration would decide."""
    import asyncio

    from rookery.actors.clock import SystemClock
    from rookery.app.authorization import Authorization
    from rookery.app.mountpoints import Mountpoints
    from rookery.config import base_directory
    from rookery.engine.publishing import not_for_clients
    from rookery.mqtt.topics import split_share, validate_topic_name
    from rookery.ports import Decision

    mountpoints = Mountpoints(loaded.config.active_listeners)
    mountpoint = mountpoints.of(principal.listener, principal)
    if mountpoint is None:
        return Decision(False, f"the mountpoint of listener {principal.listener}")
    if action == "publish":
        if not validate_topic_name(topic):
            raise typer.BadParameter(f"{topic!r} is no topic name")
        reserved = not_for_clients(topic, mountpoint)
        if reserved is not None:
            return reserved
        inner = topic
    else:
        shared = split_share(topic)
        inner = _filter(topic if shared is None else shared[1])
    banned = _banned(access, action, inner)
    if banned is not None:
        return banned

    async def ask() -> Decision:
        authorization = Authorization(
            loaded.config.authorization, loaded.origins, base_directory(loaded), SystemClock()
        )
        authorization.load(access)
        await authorization.start()
        try:
            authorizer = authorization.authorizer
            if action == "publish":
                answer = authorizer.may_publish(principal, inner, qos, retain)
            else:
                answer = authorizer.may_subscribe(principal, inner, qos)
            return answer if isinstance(answer, Decision) else await answer
        finally:
            await authorization.stop()

    with access_faults_told():
        return asyncio.run(ask())


def _banned(
    access: "AccessFile", action: Literal["publish", "subscribe"], topic: str
) -> "Decision | None":
    """What a ban of topics says, which comes before all rules and holds for superusers too."""
    from rookery.actors.clock import SystemClock
    from rookery.auth.access.bans import read_bans
    from rookery.auth.banned import Banned
    from rookery.ports import Decision

    with access_faults_told(), access.reading() as connection:
        banned = Banned(read_bans(connection))
    wall = SystemClock().wall()
    found = (
        banned.publishing(topic, wall) if action == "publish" else banned.subscribing(topic, wall)
    )
    for ban in found:
        if ban.action != "log":
            return Decision(False, f"ban of topic {ban.pattern}")
    return None


def _principal(
    loaded: "Loaded",
    access: "AccessFile",
    user: str | None,
    client: str | None,
    address: str,
    listener: str | None,
    groups: list[str] | None,
    attributes: list[str] | None,
) -> "Principal":
    """The client that is asked about, with what is known of its user."""
    from rookery.auth.access.users import user_of
    from rookery.ports import Principal

    superuser = False
    known = set(groups or ())
    configured = [each for each in loaded.config.broker.auth.users if each.username == user]
    if user is not None:
        with access_faults_told(), access.reading() as connection:
            stored = user_of(connection, user)
        if configured:
            superuser = configured[0].superuser
            known.update(configured[0].groups)
        elif stored is not None:
            superuser = stored.superuser
            known.update(stored.groups)
    return Principal(
        user,
        client or "",
        address,
        listener or "",
        superuser=superuser,
        groups=frozenset(known),
        attributes=dict(_pairs(attributes)),
    )


def _subject(
    user: str | None,
    client: str | None,
    address: str | None,
    group: str | None,
    listener: str | None,
    attributes: list[str] | None,
    anonymous: bool,
) -> "Subject":
    from ipaddress import ip_network

    from rookery.auth.rules import Subject

    try:
        network = None if address is None else ip_network(address)
    except ValueError as error:
        raise typer.BadParameter(f"--address: {error}") from None
    if anonymous and user is not None:
        raise typer.BadParameter("--anonymous and --user exclude each other")
    return Subject(user, client, network, group, listener, _pairs(attributes), anonymous)


def _pairs(attributes: list[str] | None) -> tuple[tuple[str, str], ...]:
    pairs = [each.partition("=") for each in attributes or ()]
    if not all(name and equals for name, equals, _ in pairs):
        raise typer.BadParameter("--attribute takes NAME=VALUE")
    return tuple(sorted((name, value) for name, _, value in pairs))


def _filter(topic: str) -> str:
    from rookery.mqtt.topics import SHARE_PREFIX, TOPIC_BYTES_MAX, validate_topic_filter

    if topic.startswith(SHARE_PREFIX) or not validate_topic_filter(topic, TOPIC_BYTES_MAX):
        raise typer.BadParameter(f"{topic!r} is no topic filter without a share group")
    return topic


def _printable(text: str) -> str:
    """What a name may hold must not move the terminal's cursor."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


def _fail(text: str) -> NoReturn:
    typer.echo(f"rookery: {text}", err=True)
    raise typer.Exit(1)
