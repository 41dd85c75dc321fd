"""Who is let into a measured Rookery, and what decides what they may do: three settings to compare.

``open`` asks nobody for anything. ``users``, which all other rows use, checks a name and a password.
``guarded`` has in addition what a broker on the internet has: many users, and rules of every kind of which the
last one decides.
"""

from typing import Any, Final

from rookery_bench.credentials import PASSWORD, USERNAME

OTHER_USERS: Final = 200
RULES_BEFORE: Final = 50
"""Rules that do not apply to the load, in front of the one that does."""

_USER: Final = {"username": USERNAME, "password": PASSWORD, "algorithm": "sha256", "enabled": True}


def open_to_all() -> dict[str, Any]:
    """Nobody is asked for anything, and no rule is there."""
    return {"broker": {"auth": {"enabled": False}}}


def users() -> dict[str, Any]:
    """One user, who may do everything."""
    return {"broker": {"auth": {"enabled": True, "users": [_USER]}}}


def guarded() -> dict[str, Any]:
    """Many users and many rules."""
    others = [
        {"username": f"user-{number}", "password": f"{number:064x}", "algorithm": "sha256"}
        for number in range(OTHER_USERS)
    ]
    kinds: list[dict[str, str]] = [
        {"permission": "deny", "topic_filter": "secret/{}/#"},
        {"permission": "allow", "topic_filter": "#", "username": "user-{}"},
        {"permission": "allow", "topic_filter": "of/${username}/{}"},
        {"permission": "allow", "topic_filter": "#", "group": "group-{}"},
        {"permission": "deny", "topic_filter": "#", "address": "198.51.100.{}/32"},
    ]
    rules = [
        {"action": "all"} | {key: text.replace("{}", str(number)) for key, text in kind.items()}
        for number in range(RULES_BEFORE // len(kinds))
        for kind in kinds
    ]
    rules.append({"permission": "allow", "action": "all", "topic_filter": "bench/#"})
    return {
        "broker": {"auth": {"enabled": True, "users": [*others, _USER]}},
        "authorization": {"default": "deny", "rules": rules},
    }
