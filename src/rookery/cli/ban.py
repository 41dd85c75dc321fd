"""``rookery ban``: who and what is kept out. A running node follows within a second."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rookery.cli.access import access_faults_told, access_or_exit, operator
from rookery.cli.options import ConfigFile, Overrides

if TYPE_CHECKING:
    from rookery.ports import Ban

app = typer.Typer(
    no_args_is_help=True,
    help="Keep clients, users, addresses and topics out, for a while or for good.",
)

Kind = Annotated[str, typer.Argument(metavar="KIND", help="client_id, username, address or topic.")]
Pattern = Annotated[
    str,
    typer.Argument(
        metavar="PATTERN",
        help="A name, with * and ? for any letters and any one; an address or network; a topic filter.",
    ),
]
BANS_PER_FILE_MAX = 1_000_000


@app.command()
def add(
    kind: Kind,
    pattern: Pattern,
    config: ConfigFile = None,
    overrides: Overrides = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; clients are not told.")] = "",
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="When it ends: 2026-01-31T12:00.")
    ] = None,
    lasting: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="How long it lasts: 10m, 2h, 7d."),
    ] = None,
    action: Annotated[
        str,
        typer.Option(
            "--action",
            help="deny: keep out; disconnect: also send away who is there; log: only tell of it.",
        ),
    ] = "deny",
) -> None:
    """Ban, in place of a ban of the same pattern."""
    from rookery.actors.clock import SystemClock
    from rookery.auth.access.bans import add_bans
    from rookery.auth.banned import BanFault, made
    from rookery.cli.times import seconds_of, wall_of

    if until is not None and lasting is not None:
        raise typer.BadParameter("--until and --for say the same; give one of them")
    wall = SystemClock().wall()
    ends = None if until is None else wall_of(until)
    if lasting is not None:
        ends = wall + seconds_of(lasting)
    try:
        ban = made(kind.replace("-", "_"), pattern, action, reason, operator(), wall, ends)
    except BanFault as fault:
        raise typer.BadParameter(str(fault)) from None
    file, _ = access_or_exit(config, overrides)
    with access_faults_told(), file.change(operator(), wall) as change:
        add_bans(change, [ban])
    typer.echo(f"banned {ban.kind} {ban.pattern} ({ban.action}, {_ends(ban)})")


@app.command("list")
def list_bans(
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one a line.")] = False,
) -> None:
    """Tell all bans, those of the node itself among them."""
    if as_json:
        export(config, overrides)
        return
    bans = _read(config, overrides)
    if not bans:
        typer.echo("nobody is banned")
        return
    width = max(len(ban.pattern) for ban in bans)
    for ban in bans:
        text = f"{ban.kind:9}  {ban.pattern:{width}}  {ban.action:10}  {_ends(ban)}  by {ban.by}"
        typer.echo(text + (f": {ban.reason}" if ban.reason else ""))


@app.command()
def remove(
    kind: Kind, pattern: Pattern, config: ConfigFile = None, overrides: Overrides = None
) -> None:
    """Let in again what this very pattern kept out; exit with 1 where there is no such ban."""
    from rookery.actors.clock import SystemClock
    from rookery.auth.access.bans import remove_ban
    from rookery.auth.banned import BanFault, made

    wall = SystemClock().wall()
    try:
        ban = made(kind.replace("-", "_"), pattern, "deny", "", "", wall, None)
    except BanFault as fault:
        raise typer.BadParameter(str(fault)) from None
    file, _ = access_or_exit(config, overrides)
    with access_faults_told(), file.change(operator(), wall) as change:
        found = remove_ban(change, ban.kind, ban.pattern)
    if not found:
        typer.echo(f"there is no ban of {ban.kind} {ban.pattern}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{ban.kind} {ban.pattern} is banned no more")


@app.command()
def export(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Print all bans as JSON, one a line, as ``import`` reads them."""
    from rookery.auth.access.bans import lines

    for line in lines(_read(config, overrides)):
        typer.echo(json.dumps(line, ensure_ascii=False))


@app.command("import")
def import_bans(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to read; - is standard input.")
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
    reason: Annotated[
        str, typer.Option("--reason", help="The reason of lines that give none.")
    ] = "",
    lasting: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="How long those last that say no end."),
    ] = None,
) -> None:
    """Ban what a file lists: JSON as ``export`` prints it, or an address or network a line.

    Empty lines and what follows a # are passed over. When one line is wrong nothing is banned.
    """
    from rookery.actors.clock import SystemClock
    from rookery.auth.access.bans import add_bans
    from rookery.cli.times import seconds_of

    wall = SystemClock().wall()
    ends = None if lasting is None else wall + seconds_of(lasting)
    stream = typer.get_text_stream("stdin") if str(source) == "-" else _opened(source)
    with stream:
        bans, faults = _parsed(stream, wall, ends, reason)
    for fault in faults[:20]:
        typer.echo(f"{source}: {fault}", err=True)
    if faults:
        typer.echo(f"{len(faults)} lines are wrong; nobody was banned", err=True)
        raise typer.Exit(1)
    file, _ = access_or_exit(config, overrides)
    with access_faults_told(), file.change(operator(), wall) as change:
        add_bans(change, bans)
    typer.echo(f"banned {len(bans)}")


def _opened(source: Path) -> Any:
    try:
        return source.open(encoding="utf-8")
    except OSError as error:
        typer.echo(f"{source} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(1) from None


def _parsed(
    stream: Any, wall: float, ends: float | None, reason: str
) -> "tuple[list[Ban], list[str]]":
    from rookery.auth.banned import BanFault

    bans: list[Ban] = []
    faults: list[str] = []
    try:
        for number, text in _lines(stream):
            try:
                bans.append(_ban_of(text, wall, ends, reason))
            except (BanFault, ValueError) as fault:
                faults.append(f"line {number}: {fault}")
    except UnicodeDecodeError:
        faults.append("it is no text in UTF-8")
    if len(bans) > BANS_PER_FILE_MAX:
        faults.append(f"more than {BANS_PER_FILE_MAX} bans")
    return bans, faults


def _lines(stream: Any) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(stream, start=1):
        text = line.strip()
        if not text.startswith("{"):
            text = text.partition("#")[0].strip()
        if text:
            yield number, text


def _ban_of(text: str, wall: float, ends: float | None, reason: str) -> "Ban":
    """The ban of one line. Raises ``ValueError`` and its own kind of it, ``BanFault``."""
    from rookery.auth.banned import made

    if not text.startswith("{"):
        return made("address", text, "deny", reason, operator(), wall, ends)
    given = json.loads(text)
    unknown = given.keys() - {"kind", "pattern", "action", "reason", "by", "at", "until"}
    if unknown:
        raise ValueError(f"unknown key {min(unknown)}")
    until = given.get("until")
    if until is not None and not isinstance(until, (int, float)):
        raise ValueError("until must be seconds since 1970, or null")
    return made(
        str(given.get("kind", "")),
        str(given.get("pattern", "")),
        str(given.get("action", "deny")),
        str(given.get("reason") or reason),
        operator(),
        wall,
        ends if until is None else float(until),
    )


def _read(file: Path | None, overrides: list[str] | None) -> "list[Ban]":
    from rookery.actors.clock import SystemClock
    from rookery.auth.access.bans import read_bans
    from rookery.auth.banned import standing

    access, _ = access_or_exit(file, overrides)
    with access_faults_told(), access.reading() as connection:
        return standing(read_bans(connection), SystemClock().wall())


def _ends(ban: "Ban") -> str:
    from rookery.cli.times import written

    return "for good" if ban.until_wall is None else f"until {written(ban.until_wall)}"
