"""``rookery user``: the users that are kept in the store, whether the node runs or not.

A running node takes a change within a second. Every change is in the audit, with who made it.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from rookery.cli.access import access_faults_told, access_or_exit, operator
from rookery.cli.options import ConfigFile, Overrides
from rookery.cli.passwords import (
    Algorithm,
    HashAlgorithm,
    PasswordFile,
    PasswordStdin,
    Printed,
    hashed_or_exit,
)

if TYPE_CHECKING:
    from rookery.auth.access.file import AccessFile, Change
    from rookery.auth.access.users import UserRow
    from rookery.config import Loaded

app = typer.Typer(no_args_is_help=True, help="Add, change and list the users of a node.")

NAME_BYTES_MAX = 65_535
COLUMNS = ("User", "Enabled", "Superuser", "Client id", "Groups", "Algorithm", "Where")


def _name(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise typer.BadParameter("it is not UTF-8") from None
    if not 1 <= size <= NAME_BYTES_MAX or "\x00" in text:
        raise typer.BadParameter("it is a text of 1 to 65535 bytes without U+0000")
    return text


def _optional_name(text: str | None) -> str | None:
    return None if text is None else _name(text)


def _names(texts: list[str] | None) -> list[str] | None:
    return None if texts is None else [_name(text) for text in texts]


Name = Annotated[
    str,
    typer.Argument(metavar="NAME", callback=_name, help="The name the client gives in CONNECT."),
]
Superuser = Annotated[
    bool | None, typer.Option("--superuser/--no-superuser", help="Whether no rule applies to it.")
]
ClientId = Annotated[
    str | None,
    typer.Option(
        "--client-id",
        callback=_optional_name,
        help="The only client id it may come with; with * at its end, any that begins so.",
    ),
]
Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        callback=_names,
        help="A group it is in, for rules that speak of one. Repeatable.",
    ),
]


@app.command()
def add(
    name: Name,
    password_file: PasswordFile = None,
    password_stdin: PasswordStdin = False,
    algorithm: HashAlgorithm = Algorithm.ARGON2ID,
    superuser: Superuser = None,
    client_id: ClientId = None,
    group: Groups = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Add a user; asks for the password where no option tells it."""
    from rookery.auth.access.users import UserRow, put_user

    access, loaded = access_or_exit(config, overrides)
    _refuse_existing(access, name)
    text = hashed_or_exit(password_file, password_stdin, algorithm)
    user = UserRow(
        name,
        text,
        algorithm.value,
        superuser=bool(superuser),
        client_id=client_id,
        groups=tuple(group or ()),
    )

    def put(change: "Change", found: "UserRow | None") -> None:
        if found is not None:
            _fail(f"there is a user {name} already; 'rookery user passwd' changes the password")
        put_user(change, user)
        change.audit("user add", name, _told(user))

    _change(access, name, put)
    typer.echo(f"{name}: added")
    _warn(loaded, [name])


@app.command()
def passwd(
    name: Name,
    password_file: PasswordFile = None,
    password_stdin: PasswordStdin = False,
    algorithm: HashAlgorithm = Algorithm.ARGON2ID,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Give a user another password."""
    access, loaded = access_or_exit(config, overrides)
    _refuse_missing(access, name)
    text = hashed_or_exit(password_file, password_stdin, algorithm)
    _alter(
        access,
        name,
        "user passwd",
        lambda user: dataclasses.replace(user, password=text, algorithm=algorithm.value),
        f"hashed with {algorithm.value}",
    )
    typer.echo(f"{name}: has another password")
    _warn(loaded, [name])


@app.command("set")
def alter(
    name: Name,
    superuser: Superuser = None,
    client_id: ClientId = None,
    any_client_id: Annotated[
        bool, typer.Option("--any-client-id", help="Let it come with any client id.")
    ] = False,
    group: Groups = None,
    no_groups: Annotated[
        bool, typer.Option("--no-groups", help="Take it out of all groups.")
    ] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Change what a user is, all but the password; what no option speaks of stays."""
    if client_id is not None and any_client_id:
        raise typer.BadParameter("--client-id and --any-client-id exclude each other")
    if group and no_groups:
        raise typer.BadParameter("--group and --no-groups exclude each other")
    if superuser is None and client_id is None and not (any_client_id or group or no_groups):
        raise typer.BadParameter("say what to change, as --superuser or --client-id")
    access, loaded = access_or_exit(config, overrides)

    def changed(user: "UserRow") -> "UserRow":
        return dataclasses.replace(
            user,
            superuser=user.superuser if superuser is None else superuser,
            client_id=None if any_client_id else client_id or user.client_id,
            groups=() if no_groups else tuple(group or user.groups),
        )

    _alter(access, name, "user set", changed)
    typer.echo(f"{name}: changed")
    _warn(loaded, [name])


@app.command()
def enable(name: Name, config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Let a user in again."""
    access, loaded = access_or_exit(config, overrides)
    _alter(access, name, "user enable", lambda user: dataclasses.replace(user, enabled=True), "")
    typer.echo(f"{name}: enabled")
    _warn(loaded, [name])


@app.command()
def disable(name: Name, config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Let a user in no more, and keep it."""
    access, loaded = access_or_exit(config, overrides)
    _alter(access, name, "user disable", lambda user: dataclasses.replace(user, enabled=False), "")
    typer.echo(f"{name}: disabled")
    _warn(loaded, [name])


@app.command()
def remove(name: Name, config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Remove a user."""
    from rookery.auth.access.users import remove_user

    access, loaded = access_or_exit(config, overrides)

    def take(change: "Change", found: "UserRow | None") -> None:
        if found is None:
            _fail(f"there is no user {name}")
        remove_user(change, name)
        change.audit("user remove", name)

    _change(access, name, take)
    typer.echo(f"{name}: removed")
    _warn(loaded, [name])


@app.command("list")
def show(
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the users of the store and of the configuration."""
    from rookery.auth.access.users import users_of

    access, loaded = access_or_exit(config, overrides)
    with access_faults_told(), access.reading() as connection:
        stored = users_of(connection)
    rows = [*_configured(loaded), *(_row(user, "store") for user in stored)]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    cells = [COLUMNS, *(tuple(map(_cell, row.values())) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    for row in cells:
        line = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())


@app.command("hash")
def show_hash(
    password_file: PasswordFile = None,
    password_stdin: PasswordStdin = False,
    algorithm: Annotated[
        Printed,
        typer.Option(
            "--algorithm",
            "-a",
            help="How to hash it. sha256 and sha512 are soon guessed by someone who has read the hash;"
            " those of scram are for authentication.scram only.",
        ),
    ] = "argon2id",
) -> None:
    """Print the hash of a password, for a configuration or a password file."""
    typer.echo(hashed_or_exit(password_file, password_stdin, algorithm))


@app.command("import")
def take_in(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The users.")
    ],
    file_format: Annotated[
        Literal["mosquitto", "csv", "json"] | None,
        typer.Option(
            "--format",
            help="What the file is; by default what its name tells: .csv, .json, others.",
        ),
    ] = None,
    salt_position: Annotated[
        Literal["prefix", "suffix", "disable"],
        typer.Option(help="Where the salt of hexadecimal hashes stood, as EMQX calls it."),
    ] = "prefix",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace users that are there already.")
    ] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Take in the users of a mosquitto password file, or of EMQX's CSV or JSON; all of them or none."""
    from rookery.actors.clock import SystemClock
    from rookery.auth.access.imports import format_of, read_users
    from rookery.auth.access.users import put_user, users_of

    access, loaded = access_or_exit(config, overrides)
    with access_faults_told():
        users = read_users(file, file_format or format_of(file), salt_position)
        with access.change(operator(), SystemClock().wall()) as change:
            there = {user.name for user in users_of(change.connection)}
            known = [user.name for user in users if user.name in there]
            if known and not replace:
                _fail(
                    f"there already: {', '.join(known)}; --replace replaces them. Nothing was changed"
                )
            for user in users:
                put_user(change, user)
            change.audit("user import", str(file), f"{len(users)} users, {len(known)} replaced")
    typer.echo(f"{file}: {len(users)} users imported")
    _warn(loaded, [user.name for user in users])


def _change(
    access: "AccessFile", name: str, work: "Callable[[Change, UserRow | None], None]"
) -> None:
    """One transaction about one user."""
    from rookery.actors.clock import SystemClock
    from rookery.auth.access.users import user_of

    with access_faults_told(), access.change(operator(), SystemClock().wall()) as change:
        work(change, user_of(change.connection, name))


def _alter(
    access: "AccessFile",
    name: str,
    action: str,
    changed: "Callable[[UserRow], UserRow]",
    detail: str | None = None,
) -> None:
    from rookery.auth.access.users import put_user

    def put(change: "Change", found: "UserRow | None") -> None:
        if found is None:
            _fail(f"there is no user {name}; 'rookery user add' adds one")
        user = changed(found)
        put_user(change, user)
        change.audit(action, name, _told(user) if detail is None else detail)

    _change(access, name, put)


def _refuse_existing(access: "AccessFile", name: str) -> None:
    """Before anybody types a password for nothing."""
    if _is_there(access, name):
        _fail(f"there is a user {name} already; 'rookery user passwd' changes the password")


def _refuse_missing(access: "AccessFile", name: str) -> None:
    if not _is_there(access, name):
        _fail(f"there is no user {name}; 'rookery user add' adds one")


def _is_there(access: "AccessFile", name: str) -> bool:
    from rookery.auth.access.users import user_of

    with access_faults_told(), access.reading() as connection:
        return user_of(connection, name) is not None


def _fail(text: str) -> NoReturn:
    typer.echo(f"rookery: {text}", err=True)
    raise typer.Exit(1)


def _warn(loaded: "Loaded", names: list[str]) -> None:
    """Say what keeps the change from having an effect."""
    config = loaded.config
    hidden = {user.username for user in config.broker.auth.users} & set(names)
    for name in sorted(hidden):
        typer.echo(
            f"warning: the configuration has a user {name} too, and that one counts", err=True
        )
    if all("users" not in config.order_of(listener) for listener in config.active_listeners):
        typer.echo("warning: no listener asks for these users (authentication.order)", err=True)


def _told(user: "UserRow") -> str:
    """A user for the audit: no password."""
    parts = [f"hashed with {user.algorithm}"]
    if user.superuser:
        parts.append("superuser")
    if user.client_id is not None:
        parts.append(f"client id {user.client_id}")
    if user.groups:
        parts.append(f"groups {', '.join(user.groups)}")
    return "; ".join(parts)


def _configured(loaded: "Loaded") -> list[dict[str, object]]:
    from rookery.auth.access.users import UserRow
    from rookery.auth.passwords import ARGON2ID, parse_password

    rows = []
    for user in loaded.config.broker.auth.users:
        text = user.password.get_secret_value()
        stored = parse_password(text, user.algorithm, user.username)
        algorithm = user.algorithm or (ARGON2ID if stored is None else stored.algorithm)
        row = UserRow(
            user.username,
            "",
            algorithm,
            user.enabled,
            user.superuser,
            user.client_id,
            user.groups,
        )
        rows.append(_row(row, "configuration"))
    return rows


def _row(user: "UserRow", where: str) -> dict[str, object]:
    return {
        "username": user.name,
        "enabled": user.enabled,
        "superuser": user.superuser,
        "client_id": user.client_id,
        "groups": list(user.groups),
        "algorithm": user.algorithm,
        "where": where,
    }


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    text = "-" if value is None else str(value)
    # What a name may hold must not move the terminal's cursor.
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
