"""Who decides who is let in, as the configuration asks for it."""

from typing import Final

from rookery.auth.anonymous import AnonymousAuthenticator
from rookery.auth.passwords import read_password
from rookery.auth.users import User, UsersAuthenticator
from rookery.config.models import Config
from rookery.ports import Clock

LOGIN_REMEMBER_SECONDS: Final = 60.0
"""How long a password that was right is not hashed again."""


def make_authenticator(config: Config, clock: Clock) -> UsersAuthenticator | AnonymousAuthenticator:
    """Whoever decides who is let in."""
    if config.broker.auth.anonymous_allowed:
        return AnonymousAuthenticator()
    users = []
    for user in config.broker.auth.users:
        stored, _ = read_password(user.password.get_secret_value(), user.algorithm, user.username)
        users.append(User(user.username, stored, user.enabled))
    return UsersAuthenticator(users, clock, remember_seconds=LOGIN_REMEMBER_SECONDS)
