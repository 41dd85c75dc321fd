"""What clients may do, by configuration."""

from rookery.app import Node
from tests.support.engine import connect, publish
from tests.support.node import dial, run


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
