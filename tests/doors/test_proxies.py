"""The configurations of docs/proxies.md, as they stand there: events come through at once, and who goes is gone."""

import base64
import contextlib
import json
import os
import re
import socket
import time

import pytest

from http_client import Poller, ask, publish
from pages import all_blocks
from relay import Relay
from server import Process, Server, wait_for
from web import PING, PONG, TEXT, Web, frame, handshake
from wire import exchange, request

BLOCKS = all_blocks()
# Far below a heartbeat, which would push out what a proxy gathers; far above what passing on takes.
AT_ONCE_S = 5.0
HEARTBEAT = ("--heartbeat", "60s")

NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{page}
}}
"""


def free_port():
    """A port that nobody has. Neither proxy can be told to choose one and say which."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def replaced(text, old, new):
    assert text.count(old) == 1, f"{old!r} in {text}"
    return text.replace(old, new)


def command(name, folder, port, server, edit):
    """The proxy with the page's configuration: only addresses and paths are those of the test."""
    text = BLOCKS[{"nginx": "proxies.md/nginx 1.22/nginx", "haproxy": "proxies.md/haproxy 2.6/haproxy"}[name]].text
    text = replaced(edit(text), "127.0.0.1:8080", f"127.0.0.1:{server.port}")
    file = folder / "configuration"
    if name == "nginx":
        page = replaced(text, "listen 80;", f"listen 127.0.0.1:{port};")
        file.write_text(NGINX.format(folder=folder, page=page))
        return ["nginx", "-p", str(folder), "-c", str(file), "-e", "stderr"]
    file.write_text(replaced(text, "bind :80", f"bind 127.0.0.1:{port}"))
    return ["haproxy", "-db", "-f", str(file)]


@contextlib.contextmanager
def proxy(name, folder, server, edit=lambda text: text):
    """Starts a proxy and waits until it passes something on. Another port if somebody else was quicker to take it."""
    for tries in range(1, 6):
        port = free_port()
        place = folder / str(tries)
        place.mkdir()
        # Where programs of the system stand, which not every user's path has.
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        with Process(command(name, place, port, server, edit), environment={"PATH": path}) as process:
            process.port = port

            def passes():
                if process.process.poll() is not None:
                    return "ended"
                try:
                    return ask(port, "GET", "/v1/nothing").status == 404
                except OSError:
                    return False

            if wait_for(process.told, passes) == "ended" and "ddress already in use" in process.err():
                continue
            assert process.process.poll() is None, process.told()
            yield process
            return
    raise AssertionError("no port was free")


class Stream:
    """A session of /v1/sse, read as it comes."""

    def __init__(self, port, query, head=""):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=AT_ONCE_S)
        self.socket.sendall(f"GET /v1/sse?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{head}\r\n".encode())
        self.bytes = b""

    def wait(self, text):
        """Everything so far, as soon as `text` is in it."""
        until = time.monotonic() + AT_ONCE_S
        while text.encode() not in self.bytes:
            assert time.monotonic() < until, f"{text!r} did not come at once: {self.bytes!r}"
            piece = self.socket.recv(65536)
            assert piece, f"the stream ended without {text!r}: {self.bytes!r}"
            self.bytes += piece
        return self.bytes.decode()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture
def server():
    with Server(*HEARTBEAT) as server:
        yield server


@pytest.fixture(params=["nginx", "haproxy"])
def name(request):
    return request.param


@pytest.fixture
def front(name, server, tmp_path):
    with proxy(name, tmp_path, server) as process:
        yield process


@pytest.mark.parametrize("query", ["subject=/a", "pad=2048&subject=/a"])
def test_a_stream_comes_at_once(front, server, query):
    with Stream(front.port, query) as stream:
        head = stream.wait("\r\n\r\n")
        assert head.startswith("HTTP/1.1 200 ") and "content-type: text/event-stream" in head.lower()
        stream.wait("event: session")
        assert ("\n: " + 2048 * " " in stream.bytes.decode()) == ("pad" in query)
        for number in range(5):
            publish(front.port, {"subject": "/a", "data": number})
            stream.wait(f'"data":{number},')


def test_a_stream_is_not_delayed(front, server):
    """Of several events the quickest: what a proxy holds back for 0.2 s it holds back each time."""
    with Stream(front.port, "subject=/a") as stream:
        stream.wait("event: session")
        took = []
        for number in range(10):
            publish(server.port, {"subject": "/a", "data": number})
            began = time.monotonic()
            stream.wait(f'"data":{number},')
            took.append(time.monotonic() - began)
        assert min(took) < 0.15, took


def test_a_stream_with_gzip_wanted_comes_at_once(front):
    with Stream(front.port, "subject=/a", "Accept-Encoding: gzip\r\n") as stream:
        assert "content-encoding" not in stream.wait("event: session").lower()
        publish(front.port, {"subject": "/a", "data": 1})
        stream.wait('"data":1,')


def test_a_poll_waits_and_is_answered_at_once(front, server):
    poller = Poller(front.port, "subject=/a")
    with socket.create_connection(("127.0.0.1", front.port), timeout=AT_ONCE_S) as waiting:
        waiting.sendall(f"GET /v1/poll?session={poller.session} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        server.wait_metric("sessions_listening", 1)
        publish(front.port, {"subject": "/a", "data": {"n": "1"}})
        answer = b""
        while b'"n":"1"' not in answer:
            piece = waiting.recv(65536)
            assert piece, answer
            answer += piece


def test_every_kind_of_publish_passes(front, server):
    listener = Poller(server.port, "subject=/a")
    blob = bytes(range(256)) * 1000
    for body, headers, query in [
        (b'{"subject":"/a","data":1}', {"Content-Type": "application/json", "Idempotency-Key": "k"}, ""),
        (b"subject=/a&n=2", {"Content-Type": "application/x-www-form-urlencoded"}, ""),
        (blob, {"Content-Type": "image/png"}, "?subject=/a"),
    ]:
        answer = ask(front.port, "POST", f"/v1/publish{query}", body, headers)
        assert (answer.status, answer.json()) == (202, {"accepted": 1, "refused": 0})
    again = ask(
        front.port,
        "POST",
        "/v1/publish",
        b'{"subject":"/a","data":1}',
        {
            "Content-Type": "application/json",
            "Idempotency-Key": "k",
        },
    )
    assert again.headers["Idempotent-Replayed"] == "true"
    heard = listener.events()
    assert [event.get("data") for event in heard] == [1, {"n": "2"}, None]
    assert base64.b64decode(heard[2]["base64"]) == blob


def test_what_is_too_long_is_refused_in_our_words(front):
    body = json.dumps({"subject": "/a", "data": 300_000 * "x"})
    answer = ask(front.port, "POST", "/v1/publish", body, {"Content-Type": "application/json"})
    assert (answer.status, answer.problem()["limit"]) == (413, 262_144)


def test_lines_are_published_as_they_arrive(front, server):
    with Stream(server.port, "subject=/a") as stream:
        stream.wait("event: session")
        with socket.create_connection(("127.0.0.1", front.port), timeout=AT_ONCE_S) as publisher:
            publisher.sendall(
                b"POST /v1/publish HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
                b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            )
            for number in range(3):
                line = b'{"subject":"/a","data":%d}\n' % number
                publisher.sendall(b"%x\r\n%b\r\n" % (len(line), line))
                stream.wait(f'"data":{number},')
            publisher.sendall(b"0\r\n\r\n")
            answer = b""
            while piece := publisher.recv(65536):
                answer += piece
        assert b" 202 " in answer.split(b"\r\n")[0] and b'"accepted":3,"refused":0' in answer, answer


def test_host_is_passed_on(front):
    """P-33: a page of the proxy's own address may use the server, one of another may not."""
    own = ask(front.port, "GET", "/v1/poll?subject=/a", headers={"Origin": f"http://127.0.0.1:{front.port}"})
    assert own.status == 200, own
    other = ask(front.port, "GET", "/v1/poll?subject=/a", headers={"Origin": "http://127.0.0.1:1"})
    assert (other.status, other.problem()["field"]) == (403, "Origin")


def test_a_client_that_goes_ends_its_session(front, server):
    stream = Stream(front.port, "subject=/a")
    stream.wait("event: session")
    server.wait_metric("sessions", 1)
    stream.close()
    server.wait_metric("sessions", 0)


def test_a_proxy_that_dies_ends_its_sessions(front, server):
    with Stream(front.port, "subject=/a") as stream:
        stream.wait("event: session")
        server.wait_metric("sessions", 1)
        front.stop()
        server.wait_metric("sessions", 0)


def test_a_server_that_stops_tells_through_the_proxy(front, server):
    with Stream(front.port, "subject=/a") as stream:
        stream.wait("event: session")
        server.stop(15)
        assert 'event: end\ndata: {"reason":"shutdown"' in stream.wait("the server is shutting down")


# WebSockets


def test_messages_pass_in_both_directions(front, server):
    with Web(front.port, "subject=/a") as web, Web(server.port, "subject=/a") as direct:
        for number in range(5):
            web.say({"type": "publish", "id": number, "subject": "/a", "data": number})
            assert direct.message()["data"] == number
            assert {found.get("data", found.get("id")) for found in web.messages(2)} == {number}
            publish(front.port, {"subject": "/a", "data": -number})
            assert web.message()["data"] == direct.message()["data"] == -number
        # As much as a message may hold.
        web.send(frame(TEXT, b'{"type":"ping","id":"long"}'.ljust(262_144)))
        assert web.message()["id"] == "long"
        web.send(frame(PING, b"through"))
        assert web.frame().payload == b"through"
        web.leave()


def test_the_fields_of_a_handshake_pass(name, tmp_path):
    """P-33: whose page it is, the subprotocol, compression, and why it is refused."""
    with Server(*HEARTBEAT, config="[http]\nws_deflate = true\n") as server, proxy(name, tmp_path, server) as front:
        host = ("Host", f"127.0.0.1:{front.port}")
        own = (host, ("Origin", f"http://127.0.0.1:{front.port}"), ("Sec-WebSocket-Protocol", "chat, pushlet.v1.json"))
        with Web(front.port, headers=(*own, ("Sec-WebSocket-Extensions", "permessage-deflate"))) as web:
            assert web.head.headers["Sec-WebSocket-Protocol"] == "pushlet.v1.json"
            assert web.head.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
        for headers, query, status, field in [
            ((host, ("Origin", "http://127.0.0.1:1")), "", 403, "Origin"),
            ((host,), "subject=/a*", 400, "subject"),
            ((host, ("Sec-WebSocket-Protocol", "chat")), "", 400, "Sec-WebSocket-Protocol"),
        ]:
            answer = exchange(front.port, handshake(query, headers))
            assert (answer.status, answer.problem()["field"]) == (status, field)
        assert exchange(front.port, request("GET", "/v1/ws")).status == 426


def test_a_websocket_whose_client_goes_ends(front, server):
    for act in (Web.leave, Web.close, Web.reset):
        web = Web(front.port, "subject=/a")
        server.wait_metric("sessions", 1)
        act(web)
        server.wait_metric("sessions", 0)


def test_a_proxy_that_dies_ends_its_websockets(front, server):
    with Web(front.port, "subject=/a"):
        server.wait_metric("sessions", 1)
        front.stop()
        server.wait_metric("sessions", 0)


def test_a_websocket_comes_again_after_a_restart(name, tmp_path):
    """The goodbye comes through the proxy, and then the new server is found behind it."""
    with Relay() as relay:
        with Server(cores="1") as first:
            relay.lead_to(first)
            with proxy(name, tmp_path, relay) as front:
                with Web(front.port, "subject=/a") as web:
                    relay.lead_to(None)
                    first.process.send_signal(15)
                    heard, close = web.end()
                    assert heard[-1]["reason"] == "shutdown" and close.code == 1012
                assert exchange(front.port, handshake()).status == 502
                first.wait_end()
                with Server(cores="1") as second:
                    relay.lead_to(second)
                    with Web(front.port, "subject=/a") as web:
                        publish(front.port, {"subject": "/a", "data": "again"})
                        assert web.message()["data"] == "again"


def impatient(text):
    """The configuration of the page with time-outs of a second."""
    return re.sub(r"((?:_timeout|timeout (?:client|server|tunnel)) )60s", r"\g<1>1s", text)


def test_heartbeats_keep_an_idle_websocket(name, tmp_path):
    """The server's Ping and the client's Pong are all that passes."""
    with Server("--heartbeat", "400ms") as server, proxy(name, tmp_path, server, impatient) as front:
        with Web(front.port, "subject=/a") as web:
            for _ in range(8):
                found = web.frame()
                assert found.opcode == PING, found
                web.send(frame(PONG, found.payload))
            publish(server.port, {"subject": "/a", "data": 1})
            assert web.message()["data"] == 1


def test_without_heartbeats_a_proxy_cuts(name, tmp_path):
    """So that the test above is one."""
    with Server(*HEARTBEAT) as server, proxy(name, tmp_path, server, impatient) as front:
        with Web(front.port, "subject=/a") as web:
            server.wait_metric("sessions", 1)
            assert web.wire.rest() == b""
            server.wait_metric("sessions", 0)


def test_nginx_needs_no_word_about_buffering_for_a_stream(server, tmp_path):
    """What X-Accel-Buffering is for. By HTTP/1.0 nginx gathers for sure."""

    def edit(text):
        return replaced(text.replace("proxy_http_version 1.1;", ""), "proxy_buffering off;", "")

    with proxy("nginx", tmp_path, server, edit) as front, Stream(front.port, "subject=/a") as stream:
        stream.wait("event: session")
        publish(front.port, {"subject": "/a", "data": 1})
        stream.wait('"data":1,')


def test_the_timeouts_of_the_page_are_longer_than_the_heartbeat():
    found = 0
    for name, block in BLOCKS.items():
        if block.language in ("nginx", "haproxy"):
            for seconds in re.findall(
                r"(?:_read_timeout|_send_timeout|timeout client|timeout server|timeout tunnel) (\d+)s", block.text
            ):
                assert int(seconds) >= 2 * 20, f"{name}: heartbeat and pull_wait are 20 s"
                found += 1
    assert found == 7
