"""References to files and variables: where they stand, what they become, and that nobody tells it."""

import json
import os
from pathlib import Path

import pytest

from rookery.config import ConfigErrors, Loaded, explain, load, warnings
from rookery.config.secrets import SECRET_BYTES_MAX

SECRET = "hunter2-and-more"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def users(tmp_path: Path, password: str) -> Path:
    path = tmp_path / "f.yaml"
    user = {"username": "a", "password": password}
    path.write_text(json.dumps({"broker": {"auth": {"users": [user]}}}))
    return path


def password_of(loaded: Loaded) -> str:
    return loaded.config.broker.auth.users[0].password.get_secret_value()


def refused(*arguments: object) -> str:
    with pytest.raises(ConfigErrors) as failed:
        load(*arguments)  # type: ignore[arg-type]
    return str(failed.value)


class TestPlaces:
    """A reference works wherever a text can be given."""

    def test_the_file(self, tmp_path: Path, secret: Path) -> None:
        path = users(tmp_path, f"${{file:{secret}}}")
        loaded = load(path)
        assert password_of(loaded) == SECRET
        (row,) = [row for row in explain(loaded) if row.name.endswith("users.0.password")]
        assert row.value == "***"
        assert str(row.origin).startswith(f"{path}:1:")
        assert str(row.origin).endswith(f"(from {secret})")

    def test_the_environment(self, secret: Path) -> None:
        environ = {
            "ROOKERY_BROKER__AUTH__USERS__0__USERNAME": "a",
            "ROOKERY_BROKER__AUTH__USERS__0__PASSWORD": f"${{file:{secret}}}",
        }
        assert password_of(load(None, environ)) == SECRET

    def test_the_command_line(self) -> None:
        settings = ["broker.auth.users.0.username=a", "broker.auth.users.0.password=${env:PW}"]
        loaded = load(None, {"PW": SECRET}, settings)
        assert password_of(loaded) == SECRET
        assert SECRET not in repr(explain(loaded))

    def test_a_list_given_as_a_whole(self, secret: Path) -> None:
        whole = f'[{{"username": "a", "password": "${{file:{secret}}}"}}]'
        assert password_of(load(None, {"ROOKERY_BROKER__AUTH__USERS": whole})) == SECRET

    def test_one_that_is_overridden_is_not_looked_at(self, tmp_path: Path) -> None:
        path = users(tmp_path, "${file:/no/such/file}")
        overrides = ["broker.auth.users.0.password=x"]
        assert password_of(load(path, {}, overrides)) == "x"


class TestTexts:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("${env:A}", "one"),
            ("x-${env:A}-${env:B}", "x-one-two"),
            ("$${env:A}", "${env:A}"),
            ("$$${env:A}", "$${env:A}"),
            ("$${env:A}${env:A}", "${env:A}one"),
            ("${other}", "${other}"),
            ("$${other}", "$${other}"),
            ("$2b$12$abc", "$2b$12$abc"),
            ("${ENV:A}", "${ENV:A}"),
            ("${env:NESTED}", "${env:A}"),
        ],
    )
    def test_what_is_a_reference_and_what_is_not(self, written: str, meant: str) -> None:
        environ = {"A": "one", "B": "two", "NESTED": "${env:A}"}
        loaded = load(None, environ | {"ROOKERY_MQTT__RESPONSE_INFORMATION": written})
        assert loaded.config.mqtt.response_information == meant

    @pytest.mark.parametrize(
        ("content", "meant"),
        [("a\n", "a"), ("a\r\n", "a"), ("a", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("é\n", "é")],
    )
    def test_one_newline_at_the_end_is_not_meant(
        self, tmp_path: Path, content: str, meant: str
    ) -> None:
        file = tmp_path / "s"
        file.write_bytes(content.encode())
        assert password_of(load(users(tmp_path, f"${{file:{file}}}"))) == meant

    def test_a_choice_is_a_text_and_a_number_is_none(self) -> None:
        assert load(None, {"L": "debug"}, ["log.level=${env:L}"]).config.log.level == "debug"
        text = refused(None, {"N": "7"}, ["limits.inflight_max=${env:N}"])
        assert 'must be a whole number from 1 to 65535, not "${env:N}"' in text


class TestFaults:
    """Told at the setting, once, with what would be right."""

    def test_what_cannot_be_had(self, tmp_path: Path) -> None:
        big, binary, fifo = tmp_path / "big", tmp_path / "binary", tmp_path / "fifo"
        big.write_bytes(b"a" * (SECRET_BYTES_MAX + 1))
        binary.write_bytes(b"\xff\xfe")
        os.mkfifo(fifo)
        for reference, problem in {
            "file:/no/such": "the file /no/such, which cannot be read: No such file or directory",
            f"file:{tmp_path}": f"the file {tmp_path}, which is not a regular file",
            f"file:{fifo}": f"the file {fifo}, which is not a regular file",
            f"file:{big}": f"the file {big}, which is longer than 65536 bytes",
            f"file:{binary}": f"the file {binary}, which does not hold text in UTF-8",
            "env:NONE": "the environment variable NONE, which is not set",
        }.items():
            path = users(tmp_path, f"${{{reference}}}")
            (line,) = refused(path).splitlines()
            assert line.startswith(f"{path}:1:")
            assert line.endswith(f": broker.auth.users.0.password: refers to {problem}")

    def test_a_file_of_the_greatest_length_is_read(self, tmp_path: Path) -> None:
        file = tmp_path / "s"
        file.write_bytes(b"a" * (SECRET_BYTES_MAX - 1) + b"\n")
        loaded = load(None, {}, [f"mqtt.response_information=${{file:{file}}}"])
        assert len(loaded.config.mqtt.response_information or "") == SECRET_BYTES_MAX - 1

    def test_a_value_that_is_refused_is_not_told(self, tmp_path: Path, secret: Path) -> None:
        text = refused(None, {"S": SECRET}, ["broker.node_id=${env:S} !"])
        assert SECRET not in text
        assert 'not "${env:S} !"' in text
        assert "(from environment S)" in text
        secret.write_text("")
        (line,) = refused(users(tmp_path, f"${{file:{secret}}}")).splitlines()
        assert "must be a" in line

    def test_others_are_told_as_well(self, tmp_path: Path) -> None:
        path = users(tmp_path, "${env:NONE}")
        lines = refused(path, {}, ["limits.inflight_max=0", "log.level=${env:NONE}"]).splitlines()
        assert len(lines) == 3


def test_a_value_beside_a_secret_setting_tells_its_reference(secret: Path) -> None:
    reference = f"x${{file:{secret}}}"
    loaded = load(None, {}, [f"mqtt.response_information={reference}"])
    assert loaded.config.mqtt.response_information == f"x{SECRET}"
    rows = {row.name: row.value for row in explain(loaded)}
    assert rows["mqtt.response_information"] == reference
    assert SECRET not in repr(rows)


def test_a_password_that_is_elsewhere_is_no_password_in_plain_text(
    tmp_path: Path, secret: Path
) -> None:
    def told(password: str) -> bool:
        loaded = load(users(tmp_path, password))
        return "in plain text" in str(warnings(loaded.config, 0, loaded.references))

    assert told("p")
    assert not told(f"${{file:{secret}}}")


def test_a_secret_is_not_in_the_repr_of_a_configuration(tmp_path: Path, secret: Path) -> None:
    loaded = load(users(tmp_path, f"${{file:{secret}}}"))
    assert SECRET not in repr(loaded)
    assert SECRET not in str(loaded.config.model_dump())
    assert SECRET not in loaded.config.model_dump_json()


def test_what_a_file_holds_is_read_at_each_loading(tmp_path: Path, secret: Path) -> None:
    path = users(tmp_path, f"${{file:{secret}}}")
    assert password_of(load(path)) == SECRET
    secret.write_text("other")
    assert password_of(load(path)) == "other"
