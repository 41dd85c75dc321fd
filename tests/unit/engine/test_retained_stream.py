from rookery.engine.retained_stream import RETAINED_BATCH, RetainedStream
from rookery.message import node_message
from rookery.routing.retained import RetainedIndex


def test_messages_come_one_by_one_until_there_are_none():
    index = RetainedIndex()
    topics = [f"t/{number}" for number in range(RETAINED_BATCH + 3)]
    for topic in topics:
        index.put(node_message(topic, b"x", True, 0.0))
    stream = RetainedStream(index.cursor("t/#"), "t/#", 1, (7,))
    assert (stream.written, stream.qos_max, stream.identifiers) == ("t/#", 1, (7,))
    found = []
    while not stream.done:
        message = stream.take(0.0)
        if message is not None:
            found.append(message.topic)
    assert sorted(found) == sorted(topics)
