import asyncio

import pytest

from rookery.app.authorization_http import make_http_authorizer
from rookery.auth.questions import Question
from rookery.auth.watch import FileFault
from rookery.config.authorization_http import AskedHeader, AskedText, HttpAuthorizer
from rookery.ports import Principal
from tests.support.engine import FakeClock
from tests.support.web_server import Reply, web_server


def test_every_setting_arrives(tmp_path):
    async def work():
        settings = HttpAuthorizer(
            url=server.url("/acl/${clientid}"),
            method="get",
            fields=(AskedText(name="t", value="${topic}"),),
            headers=(AskedHeader(name="key", value="secret ${qos}"),),
        )
        authorizer = make_http_authorizer(settings, tmp_path, FakeClock())
        question = Question(Principal("ann", "c/1"), "publish", "a b", 1, False)
        decision = await authorizer.ask(question)
        assert decision.allowed
        await authorizer.stop()

    with web_server(lambda _: Reply(204)) as server:
        asyncio.run(work())
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/acl/c%2F1?t=a+b")
    assert asked.headers["key"] == "secret 1"


def test_files_that_are_not_there(tmp_path):
    settings = HttpAuthorizer(url="https://127.0.0.1/", ca="absent")
    with pytest.raises(FileFault, match=f"{tmp_path}/absent: "):
        make_http_authorizer(settings, tmp_path, FakeClock())
