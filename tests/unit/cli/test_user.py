import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rookery.auth.access.file import AccessFile
from rookery.auth.access.users import UserRow, users_of
from rookery.auth.passwords import hash_password, parse_hash
from rookery.cli.access import operator
from rookery.cli.main import app

HASH = hash_password("secret", "sha512")
runner = CliRunner()


class Node:
    """The configuration of a node that does not run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "rookery.yaml"
        self.configure()
        self.access = AccessFile(folder / "store")

    def configure(self, more: str = "") -> None:
        self.config.write_text(f"store: {{directory: store}}\n{more}")

    def user(self, *arguments: str, stdin: str = "", code: int = 0) -> Result:
        command, *rest = arguments
        done = runner.invoke(app, ["user", command, "-c", str(self.config), *rest], input=stdin)
        assert done.exit_code == code, done.output
        return done

    def add(self, name: str, *arguments: str, password: str = "secret") -> Result:
        given = ("--password-stdin", "-a", "sha256", *arguments)
        return self.user("add", name, *given, stdin=password)

    @property
    def users(self) -> list[UserRow]:
        with self.access.reading() as connection:
            return users_of(connection)

    @property
    def audit(self) -> list[tuple[str, str, str, str]]:
        with self.access.reading() as connection:
            assert connection is not None
            return connection.execute(
                "SELECT by, action, target, detail FROM audit ORDER BY number"
            ).fetchall()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def has_password(user: UserRow, password: bytes) -> bool:
    stored = parse_hash(user.password)
    assert stored is not None and stored.algorithm == user.algorithm
    return stored.matches(password)


class TestAdd:
    def test_a_user_is_there_and_in_the_audit(self, node: Node):
        done = node.add("ann", "--superuser", "--client-id", "m-*", "--group", "a", "--group", "b")
        assert done.stdout == "ann: added\n"
        (ann,) = node.users
        assert has_password(ann, b"secret")
        assert (ann.name, ann.enabled, ann.superuser) == ("ann", True, True)
        assert (ann.client_id, ann.groups) == ("m-*", ("a", "b"))
        detail = "hashed with sha256; superuser; client id m-*; groups a, b"
        assert node.audit == [(operator(), "user add", "ann", detail)]

    def test_argon2id_is_what_new_users_get(self, node: Node):
        node.user("add", "ann", "--password-stdin", stdin="secret")
        assert node.users[0].password.startswith("$argon2id$")

    def test_a_name_that_is_taken(self, node: Node):
        node.add("ann")
        done = node.user("add", "ann", code=1)  # Told before anybody is asked for a password.
        assert done.stderr.startswith("rookery: there is a user ann already")
        assert len(node.audit) == 1

    @pytest.mark.parametrize("name", ["", "x" * 65_536])
    def test_a_name_that_no_client_can_give(self, node: Node, name: str):
        assert "1 to 65535 bytes" in " ".join(node.user("add", name, code=2).stderr.split())

    @pytest.mark.parametrize("option", ["--client-id", "--group"])
    def test_empty_words(self, node: Node, option: str):
        node.user("add", "ann", option, "", code=2)

    def test_another_in_the_configuration_is_told_of(self, node: Node):
        node.configure(f"broker: {{auth: {{users: [{{username: ann, password: {HASH!r}}}]}}}}\n")
        assert "the configuration has a user ann too" in node.add("ann").stderr
        node.configure("broker: {auth: {enabled: false}}\n")
        assert "no listener asks for these users" in node.add("bob").stderr


class TestChange:
    @pytest.fixture(autouse=True)
    def ann(self, node: Node) -> None:
        node.add("ann", "--client-id", "c", "--group", "g")

    def test_another_password(self, node: Node):
        node.user("passwd", "ann", "--password-stdin", "-a", "sha512", stdin="other")
        (ann,) = node.users
        assert has_password(ann, b"other")
        assert (ann.client_id, ann.groups) == ("c", ("g",)), "the rest stays"
        assert node.audit[-1] == (operator(), "user passwd", "ann", "hashed with sha512")

    def test_out_and_in_again(self, node: Node):
        assert node.user("disable", "ann").stdout == "ann: disabled\n"
        assert not node.users[0].enabled
        node.user("enable", "ann")
        assert node.users[0].enabled
        assert [line[1] for line in node.audit[1:]] == ["user disable", "user enable"]

    def test_removed(self, node: Node):
        node.user("remove", "ann")
        assert node.users == []
        assert node.audit[-1][1:3] == ("user remove", "ann")

    @pytest.mark.parametrize(
        ("arguments", "changed"),
        [
            (("--superuser",), (True, "c", ("g",))),
            (("--client-id", "d*"), (False, "d*", ("g",))),
            (("--any-client-id", "--no-groups"), (False, None, ())),
            (("--group", "h", "--group", "i"), (False, "c", ("h", "i"))),
        ],
    )
    def test_its_rights(self, node: Node, arguments, changed):
        node.user("set", "ann", *arguments)
        (ann,) = node.users
        assert (ann.superuser, ann.client_id, ann.groups) == changed
        assert has_password(ann, b"secret")
        assert node.audit[-1][1] == "user set"

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("--client-id", "d", "--any-client-id"),
            ("--group", "d", "--no-groups"),
        ],
    )
    def test_its_rights_by_half(self, node: Node, arguments):
        node.user("set", "ann", *arguments, code=2)

    @pytest.mark.parametrize(
        "arguments",
        [("passwd",), ("enable",), ("disable",), ("remove",), ("set", "--superuser")],
    )
    def test_somebody_who_is_not_there(self, node: Node, arguments):
        command, *rest = arguments
        before = node.audit
        done = node.user(command, "eve", *rest, code=1)
        assert done.stderr.startswith("rookery: there is no user eve")
        assert node.audit == before


class TestList:
    def test_all_users_and_where_they_stand(self, node: Node):
        node.add("bob\x1b[31m", "--client-id", "c")
        weak = "{username: ann, password: secret, enabled: false, groups: [g, h]}"
        node.configure(f"broker: {{auth: {{users: [{weak}]}}}}\n")
        lines = [line.split() for line in node.user("list").stdout.splitlines()]
        assert lines[1:] == [
            ["ann", "no", "no", "-", "g,h", "argon2id", "configuration"],
            ["bob\\x1b[31m", "yes", "no", "c", "-", "sha256", "store"],
        ]
        ann, bob = json.loads(node.user("list", "--json").stdout)
        assert ann == {
            "username": "ann",
            "enabled": False,
            "superuser": False,
            "client_id": None,
            "groups": ["g", "h"],
            "algorithm": "argon2id",
            "where": "configuration",
        }
        assert (bob["username"], bob["where"]) == ("bob\x1b[31m", "store")

    def test_nobody_leaves_no_trace(self, node: Node):
        assert json.loads(node.user("list", "--json").stdout) == []
        assert not node.access.path.exists()


class TestImport:
    def test_all_of_a_file(self, node: Node):
        file = node.folder / "pw"
        file.write_text(f"ann:{HASH}\nbob:{HASH}\n")
        assert node.user("import", str(file)).stdout == f"{file}: 2 users imported\n"
        assert [user.name for user in node.users] == ["ann", "bob"]
        assert has_password(node.users[0], b"secret")
        assert node.audit == [(operator(), "user import", str(file), "2 users, 0 replaced")]

    def test_what_is_there_is_replaced_only_when_asked(self, node: Node):
        node.add("bob", password="old")
        file = node.folder / "users.csv"
        file.write_text(f"user_id,password_hash\nann,{HASH}\nbob,{HASH}\n")
        done = node.user("import", str(file), code=1)
        assert "there already: bob" in done.stderr
        assert [user.name for user in node.users] == ["bob"]
        node.user("import", str(file), "--replace")
        assert all(has_password(user, b"secret") for user in node.users)
        assert node.audit[-1][3] == "2 users, 1 replaced"

    def test_one_error_and_nothing_is_taken(self, node: Node):
        file = node.folder / "pw"
        file.write_text(f"ann:{HASH}\nbob:secret\n")
        done = node.user("import", str(file), code=1)
        assert done.stderr.startswith(f"rookery: {file}:2: the password of bob is no hash")
        assert node.users == []

    def test_the_format_can_be_told(self, node: Node):
        file = node.folder / "users"
        file.write_text(f"user_id,password_hash\nann,{HASH}\n")
        node.user("import", str(file), "--format", "csv")
        assert [user.name for user in node.users] == ["ann"]


def test_a_damaged_database_is_told(node: Node):
    node.add("ann")
    node.access.path.write_text("no database" * 1000)
    for arguments in (("list",), ("add", "bob"), ("remove", "ann")):
        done = node.user(*arguments, code=1)
        assert "access.db cannot be used" in done.stderr


def test_a_wrong_configuration_is_told(node: Node):
    node.configure("limits: {inflight_max: 0}\n")
    assert "limits.inflight_max" in node.user("list", code=1).stderr
