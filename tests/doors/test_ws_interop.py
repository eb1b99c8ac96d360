"""WebSocket clients of others: the Python package `websockets` and the Node package `ws`, compressing and not."""

import json
import pathlib
import signal
import subprocess
import tempfile
import zlib

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from http_client import Poller, publish
from server import ROOT, SOON_S, TARGET, Process, Server
from web import RSV1, TEXT, Web, frame

DEFLATE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
# Nothing in it repeats, and everything.
SMALL, LARGE, DENSE = "x", 20_000 * "ab", "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(5000))
CONVERSATION = ROOT / "tests" / "doors" / "conversation.mjs"


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "deflate"])
def server(request):
    with Server(config=f"[http]\nws_deflate = {str(request.param).lower()}\n") as server:
        server.deflates = request.param
        yield server
        assert server.process.poll() is None, server.told()


class Websockets:
    """The Python package."""

    def __init__(self, server, query, compress):
        url = f"ws://127.0.0.1:{server.port}/v1/ws?{query}"
        compression = "deflate" if compress else None
        self.connection = connect(url, subprotocols=["pushlet.v1.json"], compression=compression, open_timeout=SOON_S)
        self.socket = self.connection.__enter__()
        assert self.socket.subprotocol == "pushlet.v1.json"
        self.compresses = bool(self.socket.protocol.extensions)
        self.first = self.hear()

    def say(self, value):
        self.socket.send(json.dumps(value))

    def hear(self):
        text = self.socket.recv(timeout=SOON_S)
        assert isinstance(text, str)
        return json.loads(text)

    def close(self):
        """Closes, and says with which code it was answered."""
        self.socket.close(1000, "done")
        return self.socket.protocol.close_rcvd.code

    def closed(self):
        """The code with which the server closed."""
        with pytest.raises(ConnectionClosed) as found:
            self.hear()
        return found.value.rcvd.code

    def stop(self):
        self.connection.__exit__(None, None, None)


class Ws(Process):
    """The Node package."""

    def __init__(self, server, query, compress):
        # A package is looked for beside the program.
        self.folder = tempfile.TemporaryDirectory(prefix="pushletd-doors-")
        program = pathlib.Path(self.folder.name) / CONVERSATION.name
        program.write_text(CONVERSATION.read_text())
        (program.parent / "node_modules").symlink_to(TARGET / "node" / "node_modules")
        url = f"ws://127.0.0.1:{server.port}/v1/ws?{query}"
        super().__init__(["node", str(program), url, "compress" if compress else "plain"], stdin=subprocess.PIPE)
        self.at = 0
        opened = self.line()
        assert opened["protocol"] == "pushlet.v1.json", opened
        self.compresses = "permessage-deflate" in opened["open"]
        self.first = self.hear()

    def line(self):
        self.at += 1
        return json.loads(self.wait_out(lambda out: out.count("\n") >= self.at and out.split("\n"))[self.at - 1])

    def say(self, value):
        self.process.stdin.write(json.dumps({"say": value}).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self):
        return self.line()["heard"]

    def close(self):
        self.process.stdin.write(b'{"close":1000}\n')
        self.process.stdin.flush()
        return self.closed()

    def closed(self):
        return self.line()["code"]

    def stop(self, how=signal.SIGKILL):
        self.process.stdin.close()
        super().stop(how)
        self.folder.cleanup()


@pytest.fixture(
    params=[(Websockets, False), (Websockets, True), (Ws, False), (Ws, True)],
    ids=["websockets", "websockets with deflate", "ws", "ws with deflate"],
)
def client(request, server):
    kind, compress = request.param
    client = kind(server, "subject=/from-the-url", compress)
    assert client.compresses == (compress and server.deflates)
    yield client
    client.stop()


def test_a_conversation(client, server):
    """All requests and answers, and data of each size, in both directions."""
    assert client.first["type"] == "session"
    client.say({"type": "subscribe", "id": 1, "subject": ["/interop", "/interop/*"]})
    assert client.hear() == {"type": "ack", "id": 1}
    listener = Poller(server.port, "subject=/interop")
    for number, data in enumerate((SMALL, LARGE, DENSE, "", {"a": [LARGE, None]}, LARGE)):
        client.say({"type": "publish", "id": number, "subject": "/interop", "data": data})
        ack, event = sorted((client.hear(), client.hear()), key=lambda found: "type" not in found)
        assert ack == {"type": "ack", "id": number, "accepted": 1, "refused": 0}
        assert event == {"subject": "/interop", "data": data, "time": event["time"], "from": client.first["address"]}
        assert listener.events(5) == [event]
        publish(server.port, {"subject": "/interop/b", "data": data, "event": "other"})
        assert client.hear()["data"] == data
    client.say([{"type": "ping", "id": number} for number in range(20)])
    assert [client.hear()["id"] for _ in range(20)] == list(range(20))
    client.say({"type": "nothing", "id": "x"})
    assert client.hear()["type"] == "nack"
    client.say({"type": "unsubscribe", "id": 2, "subject": "/interop,/interop/*,/from-the-url"})
    assert client.hear() == {"type": "ack", "id": 2}
    assert client.close() == 1000


def test_a_large_message_is_refused(client):
    client.say({"type": "publish", "subject": "/a", "data": 300_000 * "x"})
    assert client.closed() == 1009


def test_a_server_that_stops_says_so_to_all_of_them():
    with Server(cores="1", config="[http]\nws_deflate = true\n") as server:
        clients = [kind(server, "subject=/a", compress) for kind in (Websockets, Ws) for compress in (False, True)]
        try:
            server.process.send_signal(signal.SIGTERM)
            for client in clients:
                end = client.hear()
                assert (end["type"], end["reason"]) == ("end", "shutdown") and client.closed() == 1012
        finally:
            for client in clients:
                client.stop()
        assert server.wait_end() == 0, server.told()


def test_a_refusal_can_be_read(server):
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{server.port}/v1/ws?subject=/a*")
    assert refused.value.response.status_code == 400
    assert json.loads(refused.value.response.body)["field"] == "subject"


# Compression, byte by byte


def opened(server, offer, query=""):
    return Web(server.port, query, (("Sec-WebSocket-Extensions", offer),))


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", DEFLATE),
        ("permessage-deflate; client_max_window_bits", DEFLATE),
        ("permessage-deflate; client_max_window_bits=9", DEFLATE),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", DEFLATE),
        ("permessage-deflate; server_max_window_bits=15", DEFLATE + "; server_max_window_bits=15"),
        ("PERMESSAGE-DEFLATE", DEFLATE),
        ("x-webkit-deflate-frame, permessage-deflate", DEFLATE),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", DEFLATE),
        ("permessage-deflate; server_max_window_bits=10", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; client_max_window_bits=7", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; new_parameter", None),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
        ("permessage-deflate; client_no_context_takeover=1", None),
        ("permessage-bzip2", None),
    ],
)
def test_what_is_agreed_on(offer, answer, server):
    with opened(server, offer) as web:
        assert web.head.headers["Sec-WebSocket-Extensions"] == (answer if server.deflates else None)
        assert web.ask({"type": "ping", "id": 1})["id"] == 1


def inflated(found):
    """Each message stands alone: RFC 7692 section 7.2.2, with a new window."""
    if not found.reserved:
        return json.loads(found.payload)
    assert found.reserved == RSV1
    reader = zlib.decompressobj(wbits=-15)
    whole = reader.decompress(found.payload + b"\0\0\xff\xff")
    assert not reader.unused_data
    return json.loads(whole)


def test_each_message_can_be_read_by_itself(server):
    if not server.deflates:
        with opened(server, "permessage-deflate", "subject=/alone") as web:
            publish(server.port, {"subject": "/alone", "data": LARGE})
            found = web.frame()
            assert (found.reserved, found.opcode) == (0, TEXT) and len(found.payload) > len(LARGE)
        return
    with opened(server, "permessage-deflate", "subject=/alone") as web, Web(server.port, "subject=/alone") as plain:
        for data in (SMALL, LARGE, DENSE, LARGE):
            publish(server.port, {"subject": "/alone", "data": data})
            found = web.frame()
            assert inflated(found) == plain.message(), "the same to those who compress and those who do not"
            assert bool(found.reserved) == (data != SMALL), "what is small is sent as it is"
            assert len(found.payload) < 1000 or data != LARGE


def test_losses_are_told_in_compressed_messages_too():
    """`lost` is what is personal in a message that is compressed once for all."""
    config = "[http]\nws_deflate = true\n"
    with Server("--queue-size", "4", "--overflow", "drop-oldest", cores="1", config=config) as server:
        with opened(server, "permessage-deflate", "subject=/loss") as web:
            count = 0
            while server.metric("lost_total") == 0:
                publish(server.port, [{"subject": "/loss", "data": [count + number, DENSE]} for number in range(10)])
                count += 10
            next_one, lost = 0, 0
            while next_one < count:
                event = inflated(web.frame())
                assert event["data"] == [next_one + event.get("lost", 0), DENSE]
                next_one, lost = event["data"][0] + 1, lost + event.get("lost", 0)
            assert lost > 0


def test_a_compressed_message_may_come_in_fragments(server):
    if not server.deflates:
        return
    packer = zlib.compressobj(wbits=-15)
    packed = (packer.compress(b'{"type":"ping","id":"' + 50 * b"x" + b'"}') + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    with opened(server, "permessage-deflate") as web:
        # The bit is on the first one only, and compression may be left out as well.
        web.send(
            frame(TEXT, packed[:5], fin=False, reserved=RSV1) + frame(0, packed[5:9], fin=False) + frame(0, packed[9:])
        )
        assert web.message()["id"] == 50 * "x"
        assert web.ask({"type": "ping", "id": 1})["id"] == 1
        # A final block, and more than one.
        packer = zlib.compressobj(wbits=-15)
        web.send(frame(TEXT, packer.compress(b'{"type":"ping","id":2}') + packer.flush() + b"\0", reserved=RSV1))
        assert web.message()["id"] == 2
