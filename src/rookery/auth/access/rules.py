"""Rules in the access database, each a row with the rule as JSON; they decide in the order of their numbers.

A number is where a rule stands, so it changes when one is put before others.
"""

import json
from ipaddress import ip_network
from sqlite3 import Connection
from typing import Any

from rookery.auth.access.file import AccessFault, AccessFile, Change
from rookery.auth.rules import EVERY_QOS, Rule, Subject

NUMBER_MAX = 2**40


def rule_text(rule: Rule) -> str:
    """The rule as it is kept."""
    subject = rule.subject
    said: dict[str, object] = {
        "permission": "allow" if rule.allow else "deny",
        "action": rule.action,
        "topic_filter": rule.topic_filter,
        "username": subject.username,
        "client_id": subject.client_id,
        "address": None if subject.address is None else str(subject.address),
        "group": subject.group,
        "listener": subject.listener,
        "attributes": dict(subject.attributes) or None,
        "anonymous": subject.anonymous or None,
        "qos": sorted(rule.qos) if rule.qos != EVERY_QOS else None,
        "retain": rule.retain,
        "literal": rule.literal or None,
    }
    present = {name: value for name, value in said.items() if value is not None}
    return json.dumps(present, ensure_ascii=False)


def rule_of(text: str, number: int) -> Rule:
    """The rule that was kept. Raises ``AccessFault``."""
    try:
        said: dict[str, Any] = json.loads(text)
        address = said.get("address")
        return Rule(
            allow={"allow": True, "deny": False}[said["permission"]],
            action={"publish": "publish", "subscribe": "subscribe", "all": "all"}[said["action"]],  # type: ignore[arg-type]
            topic_filter=said["topic_filter"],
            subject=Subject(
                username=said.get("username"),
                client_id=said.get("client_id"),
                address=None if address is None else ip_network(address),
                group=said.get("group"),
                listener=said.get("listener"),
                attributes=tuple(sorted(said.get("attributes", {}).items())),
                anonymous=said.get("anonymous", False),
            ),
            qos=frozenset(said.get("qos", EVERY_QOS)),
            retain=said.get("retain"),
            literal=said.get("literal", False),
            origin=f"access database, rule {number}",
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AccessFault(
            f"rule {number} of the access database cannot be read ({error!r}): remove it with "
            f"'rookery acl remove {number}'"
        ) from None


def read_rules(connection: Connection | None) -> list[Rule]:
    """All rules in their order. Raises ``AccessFault``."""
    if connection is None:
        return []
    rows = connection.execute("SELECT number, rule FROM rules ORDER BY number").fetchall()
    return [rule_of(text, number) for number, text in rows]


def rules_in_use(connection: Connection | None) -> bool:
    """Whether there ever was a rule: removing the last one does not open what the rules had closed."""
    if connection is None:
        return False
    found = connection.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'rules'").fetchone()
    return found is not None


def stored_rules(file: AccessFile) -> list[Rule]:
    """All rules of a file. Raises ``AccessFault``."""
    with file.reading() as connection:
        return read_rules(connection)


def listed_rules(file: AccessFile) -> list[tuple[int, str, float]]:
    """Number, kept text and time of every rule, whether or not it can be read. Raises ``AccessFault``."""
    with file.reading() as connection:
        if connection is None:
            return []
        rows = connection.execute("SELECT number, rule, added_at FROM rules ORDER BY number")
        return [(number, text, added_at) for number, text, added_at in rows]


def add_rule(change: Change, rule: Rule, before: int | None = None) -> int:
    """Add a rule at the end, or before another one; return its number. ``KeyError``: there is no such one."""
    connection = change.connection
    text = rule_text(rule)
    if before is None:
        cursor = connection.execute(
            "INSERT INTO rules (rule, added_at) VALUES (?, ?)", (text, change.wall)
        )
        number = cursor.lastrowid
        assert number is not None  # It was inserted.
    else:
        if not connection.execute("SELECT 1 FROM rules WHERE number = ?", (before,)).fetchone():
            raise KeyError(before)
        # In two steps, because numbers are unique at every moment.
        connection.execute(
            "UPDATE rules SET number = number + ? WHERE number >= ?", (NUMBER_MAX, before)
        )
        connection.execute(
            "UPDATE rules SET number = number - ? + 1 WHERE number > ?", (NUMBER_MAX, NUMBER_MAX)
        )
        connection.execute(
            "INSERT INTO rules (number, rule, added_at) VALUES (?, ?, ?)",
            (before, text, change.wall),
        )
        number = before
    change.audit("acl add", f"rule {number}", text)
    return number


def remove_rule(change: Change, number: int) -> str | None:
    """Remove a rule; return what it said, ``None`` where there is no such one."""
    row = change.connection.execute(
        "DELETE FROM rules WHERE number = ? RETURNING rule", (number,)
    ).fetchone()
    if row is None:
        return None
    change.audit("acl remove", f"rule {number}", row[0])
    return str(row[0])
