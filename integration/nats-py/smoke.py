"""What a Python program does with NATS, against the server at the address given as argument.

Each step asserts what came back; the names of the finished steps are printed. The client library is
nats-py from the Python Package Index.
"""

import asyncio
import sys

import nats
from nats.errors import NoRespondersError, TimeoutError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    KeyValueConfig,
    ObjectStoreConfig,
    StreamConfig,
)
from nats.js.errors import BadRequestError, KeyWrongLastSequenceError, NotFoundError

# How long an answer may take; nothing here waits for a timer of the server.
PATIENCE = 10


async def core(client):
    """Publish, subscribe, wildcards, headers."""
    subscription = await client.subscribe("core.*.done")
    await client.publish("core.1.done", b"body", headers={"Trace": "t1"})
    await client.publish("core.1.other", b"not for us")
    await client.publish("core.2.done", b"")
    first = await subscription.next_msg(PATIENCE)
    second = await subscription.next_msg(PATIENCE)
    assert (first.subject, first.data) == ("core.1.done", b"body"), first
    assert first.headers == {"Trace": "t1"}, first.headers
    assert second.subject == "core.2.done", second
    await subscription.unsubscribe()


async def requests(client):
    """Request and reply through a queue group, and nobody to answer."""
    served = []

    async def answer(message):
        served.append(message.data)
        await message.respond(b"re: " + message.data)

    await client.subscribe("service", "workers", cb=answer)
    await client.subscribe("service", "workers", cb=answer)
    for number in range(10):
        body = str(number).encode()
        reply = await client.request("service", body, timeout=PATIENCE)
        assert reply.data == b"re: " + body, reply
    assert len(served) == 10, "one member of the group serves each request"
    try:
        await client.request("nobody", b"", timeout=PATIENCE)
        raise AssertionError("a request to nobody was answered")
    except NoRespondersError:
        pass


async def publishing(jetstream):
    """A stream with limits; acks, duplicates, refusals."""
    await jetstream.add_stream(
        StreamConfig(name="ORDERS", subjects=["orders.>"], max_msgs=100, allow_direct=True)
    )
    first = await jetstream.publish("orders.1", b"one", headers={"Nats-Msg-Id": "a"})
    again = await jetstream.publish("orders.1", b"one", headers={"Nats-Msg-Id": "a"})
    assert (first.seq, again.seq, again.duplicate) == (1, 1, True), again
    expected = {"Nats-Expected-Last-Subject-Sequence": "7"}
    try:
        await jetstream.publish("orders.1", b"two", headers=expected)
        raise AssertionError("a wrong expectation was accepted")
    except BadRequestError as error:
        assert error.err_code == 10071, error
    for number in range(2, 11):
        ack = await jetstream.publish(f"orders.{number}", str(number).encode())
        assert (ack.stream, ack.seq) == ("ORDERS", number), ack
    info = await jetstream.stream_info("ORDERS")
    assert (info.state.messages, info.state.last_seq) == (10, 10), info.state
    message = await jetstream.get_msg("ORDERS", 3)
    assert (message.subject, message.data) == ("orders.3", b"3"), message
    last = await jetstream.get_last_msg("ORDERS", "orders.4")
    assert last.seq == 4, last
    try:
        await jetstream.stream_info("NONE")
        raise AssertionError("a stream that is not there has an info")
    except NotFoundError as error:
        assert error.err_code == 10059, error


async def pulling(jetstream):
    """A durable pull consumer: acks, naks, term, in progress, counters."""
    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_deliver=3)
    worker = await jetstream.pull_subscribe("orders.>", durable="worker", config=config)
    batch = await worker.fetch(4, timeout=PATIENCE)
    assert [message.metadata.sequence.stream for message in batch] == [1, 2, 3, 4]
    assert batch[0].headers["Nats-Msg-Id"] == "a", batch[0].headers
    await batch[0].ack_sync()
    await batch[1].nak()
    await batch[2].term()
    await batch[3].in_progress()
    await batch[3].ack_sync()
    again = (await worker.fetch(1, timeout=PATIENCE))[0]
    assert again.metadata.sequence.stream == 2, again.metadata
    assert again.metadata.num_delivered == 2, again.metadata
    await again.ack_sync()
    rest = await worker.fetch(6, timeout=PATIENCE)
    for message in rest:
        await message.ack_sync()
    try:
        await worker.fetch(1, timeout=0.2)
        raise AssertionError("there is an eleventh message")
    except TimeoutError:
        pass
    info = await jetstream.consumer_info("ORDERS", "worker")
    assert (info.num_pending, info.num_ack_pending) == (0, 0), info
    assert info.ack_floor.stream_seq == 10, info


async def pushing(jetstream):
    """A push consumer and an ordered consumer see every message in order."""
    push = await jetstream.subscribe("orders.>", durable="pushed", manual_ack=True)
    for number in range(1, 11):
        message = await push.next_msg(PATIENCE)
        assert message.metadata.sequence.stream == number, message.metadata
        await message.ack_sync()
    await push.unsubscribe()
    ordered = await jetstream.subscribe(
        "orders.>", ordered_consumer=True, deliver_policy=DeliverPolicy.ALL
    )
    for number in range(1, 11):
        message = await ordered.next_msg(PATIENCE)
        assert message.metadata.sequence.stream == number, message.metadata
    await ordered.unsubscribe()


async def key_value(jetstream):
    """A bucket: revisions, conditions, history, a watch, purge."""
    bucket = await jetstream.create_key_value(KeyValueConfig(bucket="SETTINGS", history=5))
    assert await bucket.put("colour", b"red") == 1
    assert await bucket.update("colour", b"blue", last=1) == 2
    try:
        await bucket.update("colour", b"green", last=1)
        raise AssertionError("an update with an old revision was accepted")
    except KeyWrongLastSequenceError:
        pass
    try:
        await bucket.create("colour", b"green")
        raise AssertionError("a key was created twice")
    except KeyWrongLastSequenceError:
        pass
    entry = await bucket.get("colour")
    assert (entry.value, entry.revision) == (b"blue", 2), entry
    watch = await bucket.watchall()
    first = await watch.updates(PATIENCE)
    assert (first.key, first.value) == ("colour", b"blue"), first
    assert await watch.updates(PATIENCE) is None, "the values that were there have ended"
    await bucket.put("size", b"9")
    change = await watch.updates(PATIENCE)
    assert (change.key, change.value) == ("size", b"9"), change
    await bucket.delete("size")
    change = await watch.updates(PATIENCE)
    assert (change.key, change.operation) == ("size", "DEL"), change
    await watch.stop()
    history = await bucket.history("colour")
    assert [entry.value for entry in history] == [b"red", b"blue"], history
    assert await bucket.keys() == ["colour"]
    await bucket.purge("colour")
    history = await bucket.history("colour")
    assert [entry.operation for entry in history] == ["PURGE"], history


async def objects(jetstream):
    """An object larger than one message comes back whole."""
    store = await jetstream.create_object_store("FILES", config=ObjectStoreConfig())
    body = bytes(range(256)) * 2048
    info = await store.put("blob", body)
    assert (info.size, info.chunks > 1) == (len(body), True), info
    found = await store.get("blob")
    assert found.data == body, "the object came back changed"
    assert [entry.name for entry in await store.list()] == ["blob"]
    await store.delete("blob")
    try:
        await store.get("blob")
        raise AssertionError("a deleted object was found")
    except NotFoundError:
        pass


async def main(address):
    async def failed(error):
        print(f"the connection reports: {error!r}", file=sys.stderr)

    client = await nats.connect(address, error_cb=failed, allow_reconnect=False)
    jetstream = client.jetstream(timeout=PATIENCE)
    for step in (core, requests):
        await step(client)
        print(step.__name__, flush=True)
    for step in (publishing, pulling, pushing, key_value, objects):
        await step(jetstream)
        print(step.__name__, flush=True)
    await client.close()


asyncio.run(main(sys.argv[1]))
