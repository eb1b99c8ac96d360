"""The handshake of /v1/ws (RFC 6455 section 4.2): each wrong one gets its status, and is told which field is wrong."""

import signal

import pytest

from cases import CONFIG, KEY_FILES
from handshakes import BAD, GOOD
from server import Server
from web import Web, accept_key, handshake, text
from wire import Wire, exchange, request


@pytest.fixture(scope="module")
def server():
    with Server(config=CONFIG, files=KEY_FILES) as server:
        yield server
        assert server.process.poll() is None, server.told()


def name_of(case):
    return case.name


@pytest.mark.parametrize("case", GOOD, ids=name_of)
def test_each_good_handshake_opens_a_session(case, server):
    with Wire(server.port) as wire:
        wire.send(case.data)
        opened = Web(server.port, wire=wire)
        key = next(
            line.split(b": ")[1] for line in case.data.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        assert opened.head.headers["Sec-WebSocket-Accept"] == accept_key(key.decode())
        told(case, opened.head)
        assert opened.ask({"type": "ping", "id": 1})["type"] == "pong"
        opened.leave()


@pytest.mark.parametrize("case", BAD, ids=name_of)
def test_each_bad_handshake_gets_its_answer(case, server):
    answer = exchange(server.port, case.data, case.method)
    assert answer.status == case.status, answer
    told(case, answer)
    if case.status < 400 or case.method == "HEAD":
        return
    if case.text:
        assert answer.headers.get_content_type() == "text/plain" and answer.body.endswith(b".\n"), answer
        return
    problem = answer.problem()
    assert (problem.get("field"), problem.get("limit")) == (case.field, case.limit), problem


def told(case, answer):
    for name, value in case.told:
        found = answer.headers[name]
        assert found if value is None else (found or "").lower() == value.lower(), (name, answer.headers.items())


def test_a_refused_handshake_leaves_its_connection_usable(server):
    """So that a client can say it again with what was missing."""
    with Wire(server.port) as wire:
        tried = 0
        for case in BAD:
            if case.text or case.status not in (400, 401, 403, 405, 426):
                continue
            answer = exchange(server.port, case.data, case.method)
            # Where the request as a whole is in doubt the connection ends.
            if "close" in (answer.headers["Connection"] or ""):
                continue
            wire.send(case.data)
            assert wire.answer(case.method).status == case.status, case.name
            tried += 1
        assert tried > 40
        wire.send(handshake())
        opened = Web(server.port, wire=wire)
        opened.leave()


def test_a_handshake_may_come_in_single_bytes(server):
    with Wire(server.port) as wire:
        for byte in handshake("subject=/slowly"):
            wire.send(bytes([byte]))
        Web(server.port, wire=wire).leave()


def test_what_comes_directly_behind_the_handshake_is_taken(server):
    """A client should wait for the answer (section 4.1), but what it sends is not lost."""
    with Wire(server.port) as wire:
        wire.send(handshake() + text({"type": "ping", "id": 1}) + text({"type": "ping", "id": 2}) + b"\x81")
        opened = Web(server.port, wire=wire)
        assert [one["id"] for one in opened.messages(2)] == [1, 2]
        opened.send(text({"type": "ping", "id": 3})[1:])
        assert opened.message()["id"] == 3
        opened.leave()


def test_a_second_handshake_is_no_frame(server):
    with Wire(server.port) as wire:
        wire.send(handshake() + handshake())
        opened = Web(server.port, wire=wire)
        _, close = opened.end()
        assert close.code == 1002, close
        assert wire.rest() == b""


def test_a_handshake_behind_another_request_opens(server):
    with Wire(server.port) as wire:
        wire.send(request("GET", "/v1/poll?subject=/a") + handshake())
        assert wire.answer().status == 200
        Web(server.port, wire=wire).leave()


def test_a_refused_handshake_begins_no_session(server):
    before = server.metric("sessions")
    for case in BAD:
        if case.status in (400, 401, 403, 426):
            exchange(server.port, case.data, case.method)
    assert server.metric("sessions") == before


def test_a_full_server_says_so():
    with Server("--max-connections", "1", cores="1") as server:
        pollers = []
        with Wire(server.port) as wire:
            for _ in range(4):
                wire.send(request("GET", "/v1/poll?subject=/a"))
                pollers.append(wire.answer())
            wire.send(handshake())
            answer = wire.answer()
            assert [poller.status for poller in pollers] == 4 * [200]
            assert answer.status == 503 and answer.headers["Retry-After"] == "5" and answer.problem()["detail"]


def test_a_server_that_stops_says_so():
    with Server(cores="1") as server:
        half, opened = Wire(server.port), Web(server.port)
        data = handshake()
        half.send(data[:-1])
        server.wait_metric("connections", 3)
        # What was sent before it has been read: the core is one.
        assert opened.ask({"type": "ping", "id": 1})["type"] == "pong"
        server.process.send_signal(signal.SIGTERM)
        opened.until("end")
        half.send(data[-1:])
        answer = half.answer()
        assert answer.status == 503 and answer.headers["Retry-After"] == "5" and answer.problem()["detail"]
        half.close()
        opened.close()
        assert server.wait_end() == 0, server.told()
