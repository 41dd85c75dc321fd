"""What is taken for users and their passwords."""

import bcrypt
import pytest

from rookery.config.authentication import Auth, User
from tests.support.config import problems


class TestAuth:
    def user(self, **fields: object) -> dict[str, object]:
        return {"username": "a", "password": "p", **fields}

    @pytest.mark.parametrize(
        ("enabled", "users", "allowed"),
        [
            (None, 0, True),
            (None, 1, False),
            (False, 0, True),
            (False, 1, True),
            (True, 0, False),
            (True, 1, False),
        ],
    )
    def test_who_gets_in_without_a_name(self, enabled: bool | None, users: int, allowed: bool):
        auth = Auth.model_validate({"enabled": enabled, "users": [self.user()] * users})
        assert auth.anonymous_allowed is allowed

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
        ):
            user = User.model_validate(self.user(algorithm=algorithm, password=password))
            assert user.hashed is hashed

    @pytest.mark.parametrize(
        ("password", "fault"), [("$2b$10$cut", "no whole hash"), ("p" * 73, "too long")]
    )
    def test_a_password_that_could_never_match_is_refused(self, password: str, fault: str):
        data = {"broker": {"auth": {"users": [self.user(password=password)]}}}
        ((path, text),) = problems(data)
        assert path[-1] == "password"
        assert fault in text
