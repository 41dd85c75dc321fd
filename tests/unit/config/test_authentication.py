"""What is taken for users and their passwords."""

from typing import Any

import bcrypt
import pytest

from rookery.config.authentication import User
from rookery.config.models import Config
from tests.support.config import problems


class TestAuth:
    def user(self, **fields: object) -> dict[str, object]:
        return {"username": "a", "password": "p", **fields}

    def test_a_name_belongs_to_one_user(self):
        data = {"broker": {"auth": {"users": [self.user(), self.user(username="b"), self.user()]}}}
        ((path, text),) = problems(data)
        assert path == ("broker", "auth", "users", 2, "username")
        assert "users.0" in text

    def test_a_hash_is_told_from_a_password(self):
        made = bcrypt.hashpw(b"p", bcrypt.gensalt(4)).decode()
        for algorithm, password, hashed in (
            ("bcrypt", made, True),
            ("bcrypt", "p", False),
            ("sha256", "0" * 64, True),
            ("sha256", "p", False),
            ("plain", "p", False),
            (None, made, True),
            (None, "0" * 64, False),
        ):
            user = User.model_validate(self.user(algorithm=algorithm, password=password))
            assert user.hashed is hashed

    @pytest.mark.parametrize(
        ("password", "algorithm", "fault"),
        [
            ("$2b$10$cut", None, "no whole hash"),
            ("$argon2id$v=19$m=9999999,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", None, "9765 MiB"),
            ("$2b$10$" + "a" * 53, "argon2id", "a hash of bcrypt and not of argon2id"),
            ("p" * 73, "bcrypt", "too long"),
        ],
    )
    def test_a_password_that_could_never_match_is_refused(
        self, password: str, algorithm: str | None, fault: str
    ):
        user = self.user(password=password, algorithm=algorithm)
        data = {"broker": {"auth": {"users": [user]}}}
        ((path, text),) = problems(data)
        assert path[-1] == "password"
        assert fault in text


def made(**data: Any) -> Config:
    return Config.model_validate(data)


class TestTheOrder:
    def test_is_a_list_or_a_text_with_commas(self):
        settings = {"order": "password_file, users", "password_file": "f"}
        assert made(authentication=settings).authentication.order == ("password_file", "users")

    def test_a_source_without_its_settings_is_an_error(self):
        ((path, text),) = problems({"authentication": {"order": ["users", "jwt"]}})
        assert (path, text) == (
            ("authentication", "order", 1),
            "is jwt, but authentication.jwt is not set",
        )
        listener = {"type": "tcp", "authentication": ["password_file"]}
        ((path, text),) = problems({"listeners": [listener]})
        assert path == ("listeners", 0, "authentication", 0)
        assert text == "is password_file, but authentication.password_file is not set"

    def test_a_listener_s_own_goes_before_the_general_one(self):
        config = made(
            listeners=[{"type": "tcp"}, {"type": "tcp", "port": 5, "authentication": []}],
        )
        assert [config.order_of(each) for each in config.active_listeners] == [("users",), ()]


class TestAnonymousClients:
    @pytest.mark.parametrize(
        ("enabled", "general", "own", "policy"),
        [
            (None, None, None, None),
            (None, "loopback", None, "loopback"),
            (None, "deny", "allow", "allow"),
            (False, None, None, "allow"),
            (False, "allow", "deny", "deny"),
            (True, None, None, "deny"),
            (True, None, "loopback", "loopback"),
        ],
    )
    def test_what_decides(self, enabled, general, own, policy):
        config = made(
            broker={"auth": {"enabled": enabled}},
            authentication={"anonymous": general},
            listeners=[{"type": "tcp", "anonymous": own}],
        )
        (listener,) = config.active_listeners
        assert config.anonymous_of(listener) == policy
        # Whoever lets in everyone asks nobody.
        assert config.order_of(listener) == (() if enabled is False else ("users",))

    @pytest.mark.parametrize(("enabled", "anonymous"), [(True, "loopback"), (False, "deny")])
    def test_two_words_for_it_must_not_differ(self, enabled: bool, anonymous: str):
        data = {
            "broker": {"auth": {"enabled": enabled}},
            "authentication": {"anonymous": anonymous},
        }
        ((path, text),) = problems(data)
        assert path == ("authentication", "anonymous")
        assert "leave one out" in text
