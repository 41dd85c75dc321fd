"""Who is let into a measured Rookery, and what decides what they may do: three settings to compare.

``open`` asks nobody for anything. ``users``, which all other rows use, checks a name and a password.
``guarded`` has in addition what a broker on the internet has: many users, rules of every kind of which the
last one decides, and limits on rates that nobody reaches.
"""

from typing import Any, Final

from rookery_bench.credentials import PASSWORD, USERNAME

OTHER_USERS: Final = 200
RULES_BEFORE: Final = 50
"""Rules that do not apply to the load, in front of the one that does."""
NEVER_PER_SECOND: Final = 1_000_000_000

_USER: Final = {"username": USERNAME, "password": PASSWORD, "algorithm": "sha256", "enabled": True}


def open_to_all() -> dict[str, Any]:
    """Nobody is asked for anything, and no rule is there."""
    return {"broker": {"auth": {"enabled": False}}}


def users() -> dict[str, Any]:
    """One user, who may do everything."""
    return {"broker": {"auth": {"enabled": True, "users": [_USER]}}}


def guarded() -> dict[str, Any]:
    """Many users, many rules, and limits that are not met."""
    others = [
        {"username": f"user-{number}", "password": f"{number:064x}", "algorithm": "sha256"}
        for number in range(OTHER_USERS)
    ]
    rules = [
        {"permission": "deny", "action": "all", "topic_filter": f"secret/{number}/#"}
        for number in range(RULES_BEFORE // 2)
    ]
    rules += [
        {"permission": "allow", "action": "all", "topic_filter": "#", "username": f"user-{number}"}
        for number in range(RULES_BEFORE // 2)
    ]
    rules.append({"permission": "allow", "action": "all", "topic_filter": "bench/#"})
    return {
        "broker": {"auth": {"enabled": True, "users": [*others, _USER]}},
        "authorization": {"default": "deny", "rules": rules},
    }
