"""What clients may do, by configuration, and by what changes while the node runs."""

import asyncio
import threading
from pathlib import Path

import pytest

from rookery.app import Node
from rookery.app.authorization import Authorization
from rookery.auth.access.file import AccessFile
from rookery.auth.access.rules import add_rule, remove_rule
from rookery.auth.access.watch import AccessWatch
from rookery.auth.acl_file import AclFileFault
from rookery.auth.rules import Rule
from rookery.auth.watch import FileFault, FileWatch
from rookery.config import load
from rookery.mqtt.packets import PingReq, Subscribe, SubscriptionRequest
from rookery.ports import Principal
from tests.support.engine import FakeClock, connect, publish
from tests.support.node import dial, run
from tests.support.web_server import Reply, web_server

ANN = Principal("ann", "c")


def test_rules_in_their_order():
    rules = [
        {"permission": "allow", "action": "publish", "topic_filter": "t/#", "username": None},
        {"permission": "deny", "action": "all", "topic_filter": "#"},
    ]

    async def work(node: Node) -> None:
        client = await dial(node)
        await client.ask(connect("a"))
        answers = [await client.ask(publish(topic, qos=1, packet_id=1)) for topic in ("t/1", "u")]
        assert answers == [["PUBACK #1 0x10"], ["PUBACK #1 0x87"]]
        await client.close()

    run(work, **{"authorization.rules": rules})


class World:
    """A configuration, a file of rules and an access database, watched."""

    def __init__(self, folder, text):
        self.file = folder / "rookery.yaml"
        self.file.write_text(text)
        self.access = AccessFile(folder)
        self.loaded = load(self.file)
        self.subject = Authorization(
            self.loaded.config.authorization, self.loaded.origins, folder, FakeClock()
        )
        self.turns = 0
        self.watch = FileWatch(self.turn)

    def turn(self):
        self.turns += 1

    async def start(self):
        access = AccessWatch(self.access)
        self.watch.add(access)
        self.subject.watch(self.watch, access)
        await self.watch.load()

    def rule(self, topic):
        decision = self.subject.authorizer.may_publish(ANN, topic, 0, False)
        return decision.allowed, decision.rule

    def add(self, rule):
        with self.access.change("tester", 1.0) as change:
            return add_rule(change, rule)

    def reload(self, text):
        self.file.write_text(text)
        self.loaded = load(self.file)
        asyncio.run(self.subject.reload(self.loaded.config.authorization, self.loaded.origins))


RULES = """
authorization:
  acl_file: {acl}
  rules:
    - {{permission: allow, action: all, topic_filter: a}}
    -
      action: all
      permission: deny
      topic_filter: b
"""


def test_sources_in_their_order_by_their_places(tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("user ann\ntopic a\ntopic b\ntopic c\n")
    world = World(tmp_path, RULES.format(acl=acl))

    async def work():
        await world.start()
        file = world.file
        assert world.rule("a") == (True, f"{file}:5: allow all a (all)")
        assert world.rule("b") == (False, f"{file}:7: deny all b (all)")
        assert world.rule("c") == (True, f"{acl}:4: allow all c (user ann)")
        assert world.rule("d") == (False, "authorization.default: deny, for no rule fits")
        world.add(Rule(False, "all", "a"))
        generation = world.subject.authorizer.generation
        await world.watch.look()
        assert world.rule("a") == (False, "access database, rule 1: deny all a (all)")
        assert world.subject.authorizer.generation > generation
        acl.write_text("user ann\ntopic deny c\n")
        await world.watch.look()
        assert world.rule("c")[0] is False
        assert world.turns == 3

    asyncio.run(work())


def test_a_file_gone_bad_leaves_its_rules_in_force(tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("user ann\ntopic c\n")
    world = World(tmp_path, f"authorization: {{acl_file: {acl}}}")
    assert not world.rule("c")[0], "closed until it is read"

    async def work():
        await world.start()
        assert world.rule("c")[0]
        acl.write_text("nonsense\n")
        await world.watch.look()
        assert world.rule("c")[0]
        acl.unlink()
        await world.watch.look()
        assert world.rule("c")[0]
        acl.write_text("user bob\ntopic c\n")
        await world.watch.look()
        assert not world.rule("c")[0]

    asyncio.run(work())


def test_a_file_that_is_not_there_lets_no_node_start(tmp_path):
    world = World(tmp_path, f"authorization: {{acl_file: {tmp_path}/acl}}")
    with pytest.raises(AclFileFault, match="cannot be read"):
        asyncio.run(world.start())


def test_the_last_rule_removed_opens_nothing(tmp_path):
    world = World(tmp_path, "")

    async def work():
        await world.start()
        assert world.rule("a")[0]
        number = world.add(Rule(True, "all", "a"))
        await world.watch.look()
        assert world.rule("a")[0]
        assert not world.rule("b")[0]
        with world.access.change("tester", 2.0) as change:
            assert remove_rule(change, number)
        await world.watch.look()
        assert not world.rule("a")[0]
        world.access.path.unlink()
        await world.watch.look()
        assert not world.rule("a")[0]

    asyncio.run(work())


def test_another_change_of_the_database_is_none_of_rules(tmp_path):
    world = World(tmp_path, "")

    async def work():
        world.add(Rule(True, "all", "a"))
        await world.start()
        generation = world.subject.authorizer.generation
        with world.access.change("tester", 2.0) as change:
            change.audit("other", "x")
        await world.watch.look()
        assert world.subject.authorizer.generation == generation

    asyncio.run(work())


def test_another_configuration(tmp_path):
    world = World(tmp_path, "authorization: {default: deny}")
    assert world.rule("a") == (False, "authorization.default: deny")
    world.reload("authorization: {default: allow}")
    assert world.rule("a") == (True, "authorization.default: allow")


def test_a_command_reads_everything_at_once(tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("user ann\ntopic c\n")
    world = World(tmp_path, f"authorization: {{acl_file: {acl}}}")
    world.add(Rule(True, "all", "a"))
    world.subject.load(world.access)
    assert [world.rule(topic)[0] for topic in "acx"] == [True, True, False]


def test_where_a_rule_stands_that_no_file_has():
    loaded = load(
        None, {}, ["authorization.rules=[{permission: deny, action: all, topic_filter: a}]"]
    )
    for origins, place in ((loaded.origins, "--set authorization"), ({}, "authorization.rules.0")):
        subject = Authorization(loaded.config.authorization, origins, Path(), FakeClock())
        decision = subject.authorizer.may_publish(ANN, "a", 0, False)
        assert decision.rule.startswith(place)


def asked(topic):
    return b'{"result": "allow"}' if b"good" in topic.body else b'{"result": "deny"}'


def test_a_web_service_where_no_rule_decides(tmp_path):
    with web_server(lambda question: Reply(200, asked(question))) as server:
        http = f"http: {{url: {server.url()}}}"
        world = World(tmp_path, f"authorization: {{{http}, {ONE_RULE}}}")

        async def work():
            await world.subject.start()
            authorizer = world.subject.authorizer
            assert (await authorizer.may_publish(ANN, "good", 0, False)).allowed
            assert not (await authorizer.may_publish(ANN, "bad", 0, False)).allowed
            assert authorizer.may_publish(ANN, "a", 0, False).allowed
            assert len(server.asked) == 2
            kept = world.subject._remote
            for text, same in ((http, True), ("default: deny", False)):
                world.file.write_text(f"authorization: {{{text}}}")
                loaded = load(world.file)
                await world.subject.reload(loaded.config.authorization, loaded.origins)
                assert (world.subject._remote is kept) is same
            assert not authorizer.may_publish(ANN, "good", 0, False).allowed
            await world.subject.stop()

        asyncio.run(work())


ONE_RULE = "rules: [{permission: allow, action: all, topic_filter: a}]"


def test_a_web_service_that_cannot_be_asked(tmp_path):
    absent = "http: {url: https://127.0.0.1:1/, ca: absent.pem}"
    world = World(tmp_path, f"authorization: {{{absent}}}")
    with pytest.raises(FileFault, match=r"authorization\.http: .*absent\.pem: "):
        asyncio.run(world.subject.start())


def test_packets_wait_for_the_service_and_others_do_not(tmp_path):
    released = threading.Event()

    def answer(question):
        released.wait(20)
        return Reply(200, asked(question))

    async def work(node: Node) -> None:
        slow, quick = await dial(node), await dial(node)
        for client in (slow, quick):
            assert await client.ask(connect(str(id(client)))) == ["CONNACK"]
        waiting = asyncio.create_task(
            slow.ask(publish("good", qos=1, packet_id=1), PingReq(), answers=2)
        )
        await asyncio.to_thread(server.arrived.acquire)
        assert await quick.ask(PingReq()) == ["PINGRESP"]
        assert not waiting.done()
        released.set()
        assert await waiting == ["PUBACK #1 0x10", "PINGRESP"]
        requests = [SubscriptionRequest(each, 0) for each in ("good/#", "bad")]
        assert await slow.ask(Subscribe(2, requests)) == ["SUBACK 0x00 0x87"]
        for client in (slow, quick):
            await client.close()

    with web_server(answer) as server:
        run(work, **{"authorization.http.url": server.url()})


def test_a_configuration_read_again_changes_live_sessions(tmp_path):
    async def work(node: Node) -> None:
        client = await dial(node)
        await client.ask(connect("a"))
        assert await client.ask(Subscribe(1, [SubscriptionRequest("t", 0)])) == ["SUBACK 0x00"]
        file = tmp_path / "rookery.yaml"
        file.write_text(
            "authorization: {rules: [{permission: deny, action: all, topic_filter: t}]}"
        )
        loaded = load(file)
        await node.reload(loaded.config, loaded.origins)
        while not node.broker.stats.subscriptions_revoked:
            await asyncio.sleep(0)
        assert await client.ask(publish("t", qos=1, packet_id=1)) == ["PUBACK #1 0x87"]
        await client.close()

    run(work)
