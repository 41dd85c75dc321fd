import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rookery.auth.access.bans import add_bans
from rookery.auth.access.file import AccessFile
from rookery.auth.access.rules import stored_rules
from rookery.auth.access.users import UserRow, put_user
from rookery.auth.banned import made
from rookery.cli.access import operator
from rookery.cli.main import app
from tests.support.web_server import Reply, web_server

runner = CliRunner()


class Node:
    """The configuration of a node that does not run."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "rookery.yaml"
        self.access = AccessFile(folder / "store")
        self.configure()

    def configure(self, more: str = "") -> None:
        self.config.write_text(f"store: {{directory: store}}\n{more}")

    def acl(self, *arguments: str, code: int = 0) -> Result:
        command, *rest = arguments
        done = runner.invoke(app, ["acl", command, "-c", str(self.config), *rest])
        assert done.exit_code == code, done.output
        return done

    def test(self, *arguments: str) -> bool:
        done = runner.invoke(app, ["acl", "test", "-c", str(self.config), *arguments])
        assert done.stdout == ("denied\n" if done.exit_code else "allowed\n")
        return done.exit_code == 0

    def rules(self) -> list[str]:
        return [str(rule) for rule in stored_rules(self.access)]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_rule_is_added_listed_and_removed(node: Node) -> None:
    done = node.acl("add", "--allow", "--user", "ann", "--topic", "t/${username}/#")
    assert done.stdout == "rule 1: allow all t/${username}/# (user ann)\n"
    assert "denied from now on" in done.stderr
    done = node.acl(
        "add", "--deny", "--all", "--action", "publish", "--topic", "#", "--qos", "2", "--retain"
    )
    assert done.stderr == ""
    assert node.acl("list").stdout.splitlines() == [
        "   1  allow all t/${username}/# (user ann)",
        "   2  deny publish # qos 2 retained (all)",
    ]
    first = json.loads(node.acl("list", "--json").stdout.splitlines()[0])
    assert (first["number"], first["rule"]["username"]) == (1, "ann")
    assert node.acl("remove", "1").stdout == "rule 1: removed\n"
    assert node.rules() == ["deny publish # qos 2 retained (all)"]
    assert "no rule 1;" in node.acl("remove", "1", code=1).stderr


def test_every_part_of_a_subject(node: Node) -> None:
    node.acl(
        "add", "--allow", "--topic", "t", "--client", "c", "--group", "g", "--address", "10.0.0.0/8",
        "--listener", "tls", "--attribute", "jwt.role=x", "--attribute", "cert_serial=7",
        "--anonymous", "--action", "subscribe", "--literal",
    )  # fmt: skip
    assert node.rules() == [
        (
            "allow subscribe t literal (client c, address 10.0.0.0/8, group g, listener tls, "
            "cert_serial=7, jwt.role=x, anonymous clients)"
        )
    ]


def test_before_another_one(node: Node) -> None:
    for topic in ("a", "b"):
        node.acl("add", "--deny", "--all", "--topic", topic)
    assert node.acl("add", "--allow", "--all", "--topic", "c", "--before", "2").stdout.startswith(
        "rule 2:"
    )
    assert [rule.split()[2] for rule in node.rules()] == ["a", "c", "b"]
    assert (
        "no rule 9"
        in node.acl("add", "--allow", "--all", "--topic", "x", "--before", "9", code=1).stderr
    )


def test_changes_are_in_the_audit(node: Node) -> None:
    node.acl("add", "--allow", "--all", "--topic", "t")
    node.acl("remove", "1")
    with node.access.reading() as connection:
        assert connection is not None
        rows = connection.execute("SELECT by, action, target FROM audit ORDER BY number").fetchall()
    assert rows == [(operator(), f"acl {what}", "rule 1") for what in ("add", "remove")]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--topic", "t", "--all"], "--allow or --deny"),
        (["--topic", "t", "--allow"], "whom the rule is about"),
        (["--topic", "t", "--allow", "--all", "--user", "a"], "whom the rule is about"),
        (["--topic", "a/#/b", "--allow", "--all"], "no topic filter"),
        (["--topic", "$share/g/a", "--allow", "--all"], "no topic filter"),
        (["--topic", "${x}", "--allow", "--all"], "no placeholder"),
        (["--topic", "t", "--allow", "--all", "--retain"], "the action must be publish"),
        (["--topic", "t", "--allow", "--address", "10.0.0.1/8"], "host bits"),
        (["--topic", "t", "--allow", "--attribute", "x"], "NAME=VALUE"),
        (["--topic", "t", "--allow", "--anonymous", "--user", "a"], "exclude each other"),
        (["--topic", "t", "--allow", "--all", "--qos", "3"], "--qos"),
    ],
)
def test_a_wrong_command_line(node: Node, arguments: list[str], why: str) -> None:
    done = node.acl("add", *arguments, code=2)
    # The box it is printed in breaks its lines anywhere.
    assert "".join(why.split()) in "".join(done.stderr.replace("│", "").split())
    assert not node.access.path.exists()


def test_what_is_decided_has_its_file_and_line(node: Node, tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("user ann\ntopic read of/ann\n")
    node.configure(
        "authorization:\n"
        "  acl_file: acl\n"
        "  rules:\n"
        "    - {permission: deny, action: all, topic_filter: secret/#, listener: tls}\n"
    )
    node.acl("add", "--allow", "--group", "ops", "--topic", "secret/#")
    with node.access.change("tester", 1.0) as change:
        put_user(change, UserRow("bob", "x", "sha256", groups=("ops",)))
        put_user(change, UserRow("root", "x", "sha256", superuser=True))

    def by(user: str, topic: str, *more: str) -> str:
        done = node.acl(
            "explain",
            "--client",
            "c",
            "--user",
            user,
            "--topic",
            topic,
            "--action",
            "subscribe",
            *more,
        )
        allowed, rule = done.stdout.splitlines()
        return f"{allowed}{rule.replace(str(tmp_path), '')}"

    assert by("bob", "secret/x") == (
        "allowed  by access database, rule 1: allow all secret/# (group ops)"
    )
    assert by("ann", "secret/+", "--listener", "tls") == (
        "denied  by /rookery.yaml:5: deny all secret/# (listener tls)"
    )
    assert by("ann", "$share/g/of/ann") == ("allowed  by /acl:2: allow subscribe of/ann (user ann)")
    assert by("ann", "x") == "denied  by authorization.default: deny, for no rule fits"
    assert by("root", "x").startswith("allowed  by a superuser")
    done = node.acl(
        "explain",
        "--user",
        "bob",
        "--topic",
        "t",
        "--action",
        "publish",
        "--json",
        "--group",
        "new",
    )
    assert json.loads(done.stdout) == {
        "allowed": False,
        "rule": "authorization.default: deny, for no rule fits",
        "username": "bob",
        "client_id": "",
        "groups": ["new", "ops"],
        "superuser": False,
    }


def test_a_test_tells_by_its_exit_code(node: Node) -> None:
    node.acl(
        "add", "--allow", "--action", "publish", "--topic", "t/%c", "--attribute", "jwt.a=b",
        "--address", "10.0.0.0/8", "--qos", "1", "--no-retain",
    )  # fmt: skip
    given = ["--client", "c", "--topic", "t/c", "--attribute", "jwt.a=b", "--address", "10.1.1.1"]
    publish = [*given, "--action", "publish"]
    assert node.test(*publish, "--qos", "1")
    assert not node.test(*publish)
    assert not node.test(*publish, "--qos", "1", "--retain")
    assert not node.test(*given, "--action", "subscribe", "--qos", "1")
    done = node.acl("test", "--topic", "a/#", "--action", "publish", code=2)
    assert "no topic name" in done.stderr


def test_what_is_decided_without_rules(node: Node) -> None:
    node.configure(
        "listeners: [{type: tcp, name: in, mountpoint: '${username}/'}]\n"
        "broker: {auth: {users: [{username: boss, password: x, superuser: true}]}}\n"
    )
    for user, topic, allowed in (("boss", "$SYS/x", False), ("boss", "x", True)):
        assert node.test("--user", user, "--topic", topic, "--action", "publish") is allowed
    for user, topic, allowed in (("a/b", "x", False), ("ann", "x", True), ("ann", "$x", False)):
        given = ["--user", user, "--topic", topic, "--action", "publish", "--listener", "in"]
        assert node.test(*given) is allowed


def test_the_web_service_is_asked(node: Node) -> None:
    with web_server(lambda _: Reply(204)) as server:
        node.configure(f"authorization: {{http: {{url: {server.url()}}}}}\n")
        assert node.test("--topic", "x", "--action", "publish")
    assert len(server.asked) == 1


def test_faults_are_told(node: Node, tmp_path: Path) -> None:
    node.configure("authorization: {acl_file: absent}\n")
    done = node.acl("test", "--topic", "x", "--action", "publish", code=1)
    assert done.stderr.startswith(f"rookery: {tmp_path}/absent: cannot be read")
    node.configure()
    node.acl("add", "--allow", "--all", "--topic", "t")
    with node.access.change("tester", 1.0) as change:
        change.connection.execute("UPDATE rules SET rule = '{}'")
    assert "rookery acl remove 1" in node.acl("list").stdout
    done = node.acl("explain", "--topic", "x", "--action", "publish", code=1)
    assert "rookery acl remove 1" in done.stderr


def test_bans_of_topics_come_before_all_rules(node: Node) -> None:
    with node.access.change("tester", 1.0) as change:
        put_user(change, UserRow("root", "x", "sha256", superuser=True))
        for pattern, action, until in (
            ("bomb/#", "disconnect", None),
            ("seen", "log", None),
            ("over", "deny", 2.0),
        ):
            add_bans(change, [made("topic", pattern, action, "", "tester", 1.0, until)])
    for user in ("ann", "root"):
        asked = ("--user", user, "--action", "publish", "--topic")
        assert node.acl("explain", *asked, "bomb/x").stdout == "denied\n  by ban of topic bomb/#\n"
        assert not node.test(*asked, "bomb/x")
        assert node.test(*asked, "seen")
        assert node.test(*asked, "over")
    assert not node.test("--action", "subscribe", "--topic", "$share/g/bomb/+")
    assert not node.test("--action", "subscribe", "--topic", "#")
