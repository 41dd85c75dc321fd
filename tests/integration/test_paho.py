"""paho-mqtt, the most used client: every version, QoS and transport."""

import queue
import threading

import pytest
from paho.mqtt.client import Client, MQTTv5, MQTTv31, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

SECONDS_MAX = 10
VERSIONS = pytest.mark.parametrize(
    "version", [MQTTv31, MQTTv311, MQTTv5], ids=["3.1", "3.1.1", "5"]
)
TRANSPORTS = ["tcp", "tls", "ws", "wss", "unix"]


class Paho:
    """A client whose network loop runs in a thread, with what it received in queues."""

    def __init__(
        self, node, version=MQTTv5, client_id="", *, over="tcp", persistent=False, will=None
    ):
        options = {} if version == MQTTv5 else {"clean_session": not persistent}
        transport = {"ws": "websockets", "wss": "websockets", "unix": "unix"}.get(over, "tcp")
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=version, transport=transport, **options
        )
        self.messages = queue.SimpleQueue()
        self.granted = queue.SimpleQueue()
        self.session_present = None
        self.client.on_message = lambda client, data, message: self.messages.put(message)
        self.client.on_subscribe = lambda client, data, mid, codes, properties: self.granted.put(
            codes
        )
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._disconnected
        self.reason = None
        self.ended = threading.Event()
        self._welcome = threading.Event()
        if over in ("tls", "wss"):
            self.client.tls_set_context(node.trusting())
        if will is not None:
            self.client.will_set(*will)
        if over == "unix":
            host, port = str(node.unix_path), 1
        else:
            host, port = node.address(over)
        self.client.connect(host, port, **self._session(version, persistent))
        self.client.loop_start()
        assert self._welcome.wait(SECONDS_MAX)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def _session(self, version, persistent):
        if version != MQTTv5:
            return {}
        properties = Properties(PacketTypes.CONNECT)
        if persistent:
            properties.SessionExpiryInterval = 60
        return {"clean_start": not persistent, "properties": properties}

    def _connected(self, client, data, flags, reason, properties):
        self.session_present, self.reason = flags.session_present, reason
        self._welcome.set()

    def _disconnected(self, client, data, flags, reason, properties):
        self.reason = reason
        self.ended.set()

    def subscribe(self, topic_filter, qos=2, **options):
        self.client.subscribe(topic_filter, qos, **options)
        return [code.value for code in self.granted.get(timeout=SECONDS_MAX)]

    def publish(self, topic, payload, qos=0, **options):
        self.client.publish(topic, payload, qos, **options).wait_for_publish(SECONDS_MAX)

    def take(self):
        return self.messages.get(timeout=SECONDS_MAX)

    def vanish(self):
        """Lose the connection without a goodbye, and do not come back."""
        self.client.on_disconnect = None
        self.client.socket().shutdown(2)
        self.client.loop_stop()


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_in_order(node, name, version, qos):
    with Paho(node, version, f"{name}-b") as receiver, Paho(node, version, f"{name}-a") as sender:
        assert receiver.subscribe(f"{name}/#", qos) == [qos]
        for number in range(200):
            sender.client.publish(f"{name}/{number % 3}", str(number), qos)
        taken = [receiver.take() for _ in range(200)]
        assert [int(each.payload) for each in taken] == list(range(200))
        assert {each.qos for each in taken} == {qos}


@VERSIONS
def test_retained(node, name, version):
    with Paho(node, version, f"{name}-a") as sender:
        sender.publish(name, b"kept", 1, retain=True)
        with Paho(node, version, f"{name}-b") as receiver:
            receiver.subscribe(name)
            message = receiver.take()
            assert (message.payload, message.retain) == (b"kept", True)
            sender.publish(name, b"live", 1, retain=True)
            message = receiver.take()
            assert (message.payload, message.retain) == (b"live", False)
        sender.publish(name, b"", 1, retain=True)
        with Paho(node, version, f"{name}-c") as receiver:
            receiver.subscribe(name)
            sender.publish(name, b"only this", 1)
            assert receiver.take().payload == b"only this"


@VERSIONS
def test_will(node, name, version):
    with Paho(node, version, f"{name}-a") as watcher:
        watcher.subscribe(name)
        doomed = Paho(node, version, f"{name}-b", will=(name, b"gone", 1, True))
        doomed.vanish()
        message = watcher.take()
        assert (message.payload, message.qos) == (b"gone", 1)
        with Paho(node, version, f"{name}-c", will=(name, b"never", 1)):
            pass
        watcher.publish(name, b"after the goodbye")
        assert watcher.take().payload == b"after the goodbye"


@VERSIONS
def test_persistent_session(node, name, version):
    with Paho(node, version, f"{name}-a", persistent=True) as receiver:
        assert receiver.session_present is False
        receiver.subscribe(f"{name}/#")
    with Paho(node, version, f"{name}-b") as sender:
        for number in range(100):
            sender.publish(f"{name}/x", str(number), 1 + number % 2)
    with Paho(node, version, f"{name}-a", persistent=True) as receiver:
        # The CONNACK of 3.1 has no place for it.
        assert receiver.session_present is (version != MQTTv31)
        taken = [receiver.take() for _ in range(100)]
    # The client shows a QoS 2 message at the end of its exchange: the order is that within a QoS.
    for qos in (1, 2):
        numbers = [int(each.payload) for each in taken if each.qos == qos]
        assert numbers == list(range(qos - 1, 100, 2))
    with Paho(node, version, f"{name}-a") as receiver:
        assert receiver.session_present is False


@VERSIONS
def test_takeover(node, name, version):
    first = Paho(node, version, name)
    first.client.reconnect_delay_set(60, 60)
    with first, Paho(node, version, name) as second:
        assert first.ended.wait(SECONDS_MAX)
        if version == MQTTv5:
            assert first.reason.value == 0x8E
        assert second.session_present is False
        first.client.loop_stop()


@pytest.mark.parametrize("over", TRANSPORTS)
def test_every_transport_with_a_large_message(node, name, over):
    payload = bytes(range(256)) * 2_000
    with Paho(node, MQTTv5, over=over) as client:
        client.subscribe(name)
        for qos in (0, 1, 2):
            client.publish(name, payload, qos)
            assert client.take().payload == payload


class TestVersion5:
    def test_properties_travel(self, node, name):
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("b", "1"), ("a", "2"), ("b", "1")]
        properties.ContentType = "text/plain"
        properties.ResponseTopic = f"{name}/answer"
        properties.CorrelationData = b"\0\xff"
        properties.PayloadFormatIndicator = 1
        properties.MessageExpiryInterval = 100
        with Paho(node) as client:
            client.subscribe(name)
            client.publish(name, "é", 1, properties=properties)
            found = client.take().properties
        for each in ("UserProperty", "ContentType", "ResponseTopic", "CorrelationData"):
            assert getattr(found, each) == getattr(properties, each)
        assert found.PayloadFormatIndicator == 1
        assert found.MessageExpiryInterval in (99, 100)

    def test_subscription_options(self, node, name):
        with (
            Paho(node, client_id=f"{name}-a") as client,
            Paho(node, client_id=f"{name}-b") as other,
        ):
            client.client.publish(name, b"kept", 1, retain=True).wait_for_publish(SECONDS_MAX)
            options = SubscribeOptions(
                qos=1, noLocal=True, retainAsPublished=True, retainHandling=2
            )
            client.client.subscribe(name, options=options)
            assert client.granted.get(timeout=SECONDS_MAX)[0].value == 1
            client.publish(name, b"own", 1)
            other.publish(name, b"other", 1, retain=True)
            message = client.take()
            assert (message.payload, message.retain) == (b"other", True)

    def test_shared_subscription(self, node, name):
        with Paho(node, client_id=f"{name}-a") as a, Paho(node, client_id=f"{name}-b") as b:
            for member in (a, b):
                member.subscribe(f"$share/{name}/{name}/#", 1)
            with Paho(node) as sender:
                for number in range(100):
                    sender.publish(f"{name}/x", str(number), 1)
            got = [sorted(int(each.take().payload) for _ in range(50)) for each in (a, b)]
        assert sorted(got[0] + got[1]) == list(range(100))
