"""Who is let in, by configuration."""

from rookery.app import Node
from tests.support.engine import connect
from tests.support.node import dial, run

USERS = [{"username": "u", "password": "secret", "algorithm": "plain"}]


def test_users_with_their_passwords():
    async def work(node: Node) -> None:
        for password, answer in ((b"secret", "CONNACK"), (b"wrong", "CONNACK 0x86")):
            client = await dial(node)
            found = await client.ask(connect("a", username="u", password=password))
            assert found == [answer]
            await client.close()

    run(work, **{"broker.auth.enabled": True, "broker.auth.users": USERS})
