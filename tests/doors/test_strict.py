"""The doors are strict, and say so: every wrong request gets a problem document, and nobody is hung up on silently."""

import json
import signal

import pytest

from cases import BEARER, CASES, CONFIG, JSON, KEY_FILES, UNKNOWN, item
from http_client import Poller, ask, publish
from server import Server
from wire import Wire, exchange, request


def configured(*flags):
    """A server with the keys of CONFIG beside its file."""
    return Server(*flags, config=CONFIG, files=KEY_FILES, cores="1")


@pytest.fixture(scope="module")
def server():
    with configured() as server:
        yield server
        assert server.process.poll() is None, server.told()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operation}: {case.name}")
def test_each_request_gets_its_answer(case, server):
    answer = exchange(server.port, case.bytes, case.method, whole=not case.endless)
    assert answer.status == case.status, answer
    for name, value in case.told:
        found = answer.headers[name]
        assert found if value is None else (found or "") == value, (name, answer)
    if case.status < 400 or case.method == "HEAD":
        return
    if case.text:
        assert answer.headers.get_content_type() == "text/plain" and answer.body.endswith(b".\n"), answer
        return
    problem = answer.problem()
    assert (problem.get("field"), problem.get("limit")) == (case.field, case.limit), problem


def test_a_refused_request_leaves_its_connection_usable(server):
    """Where a request ends is known as soon as it is HTTP, so what comes behind a refusal is served."""
    usable = [case for case in CASES if 400 <= case.status < 500 and not case.text and case.version == "HTTP/1.1"]
    stays = 0
    with Wire(server.port) as wire:
        for case in usable:
            wire.send(case.bytes)
            answer = wire.answer(case.method)
            assert answer.status == case.status, (case.name, answer)
            if answer.headers["Connection"] == "close":
                assert wire.rest() == b"", case.name
                wire.close()
                wire.__init__(server.port)
            else:
                stays += 1
    assert stays > 100, "most refusals are no reason to hang up"


def test_requests_in_a_row_are_answered_in_order(server):
    cases = [case for case in CASES if case.status in (202, 204, 400, 403, 404, 405) and case.version == "HTTP/1.1"]
    # A body of lines is read as it comes: nothing may stand behind it.
    cases = [case for case in cases if "x-ndjson" not in str(case.headers) and not case.text and len(case.bytes) < 4096]
    with Wire(server.port) as wire:
        closing = []
        for case in cases:
            answer = exchange(server.port, case.bytes, case.method)
            if answer.headers["Connection"] == "close":
                closing.append(case)
        cases = [case for case in cases if case not in closing]
        assert len(cases) > 100
        wire.send(b"".join(case.bytes for case in cases))
        for case in cases:
            assert wire.answer(case.method).status == case.status, case.name


def test_a_stream_by_http_1_0_ends_with_its_connection(server):
    with Wire(server.port) as wire:
        wire.send(request("GET", "/v1/sse?subject=/old", version="HTTP/1.0"))
        answer = wire.answer(whole=False)
        assert answer.headers["Transfer-Encoding"] is None and answer.headers["Connection"] == "close"
        assert wire.line().startswith(b"retry: ") and wire.line() == b"event: session\n"
        assert wire.line().startswith(b"data: {") and wire.line() == b"\n"
        publish(server.port, {"subject": "/old", "data": 1})
        assert wire.line().startswith(b'data: {"subject":"/old","data":1,')


NASTY = "a\rb\nc\r\nd\n\ndata: x\u2028\u2029\u0085\0\ud7ff"


def test_nothing_that_is_published_can_add_a_line(server):
    """Data, subject and types with line ends stay in the one line of their event."""
    items = [
        {"subject": "/nasty", "data": NASTY},
        {"subject": "/nasty", "data": {NASTY: NASTY}},
        {"subject": "/nasty", "data": [NASTY]},
        {"subject": "/nasty", "content_type": "text/plain", "data": NASTY},
        {"subject": f"/nasty/{NASTY}", "data": NASTY},
    ]
    listener = Poller(server.port, "subject=/nasty/**,/nasty")
    with Wire(server.port) as wire:
        wire.send(request("GET", "/v1/sse?subject=/nasty,/nasty/**", version="HTTP/1.0"))
        wire.answer(whole=False)
        while wire.line() != b"\n":
            pass
        # Written by others as well: JSON texts may hold line ends between their parts.
        body = json.dumps(items, indent=1).replace("\n", "\r\n").encode()
        assert exchange(server.port, request("POST", "/v1/publish", (JSON,), body)).json()["accepted"] == len(items)
        raw = request("POST", "/v1/publish?subject=/nasty", (("Content-Type", "text/x"),), NASTY.encode())
        assert exchange(server.port, raw).status == 202
        heard = []
        for _ in range(len(items) + 1):
            line = wire.line()
            assert line.startswith(b"data: ") and line.endswith(b"}\n"), line
            assert wire.line() == b"\n"
            heard.append(json.loads(line[6:]))
        assert [event["data"] for event in heard] == [*(item["data"] for item in items), NASTY]
        assert heard == listener.events()


def test_a_form_says_the_same_as_json(server):
    listener = Poller(server.port, "subject=/same")
    publish(server.port, {"subject": "/same", "data": {"a": "1", "b": "ü"}})
    form = request(
        "POST", "/v1/publish", (("Content-Type", "application/x-www-form-urlencoded"),), b"subject=/same&a=1&b=%C3%BC"
    )
    assert exchange(server.port, form).status == 202
    first, second = listener.events()
    assert first["data"] == second["data"] == {"a": "1", "b": "ü"}


def test_a_wait_is_over_when_a_newer_one_begins(server):
    poller = Poller(server.port, "subject=/newest")
    with Wire(server.port) as older:
        older.send(request("GET", f"/v1/poll?session={poller.session}"))
        server.wait_metric("sessions_listening", 1)
        assert poller.events(0) == []
        assert older.answer().json() == {"session": poller.session, "events": []}


# The table of docs/sse.md: a pattern, what it gets, and what it does not get.
PATTERNS = [
    ("/prices", ["/prices"], ["/prices/ACME", "/price", "/pricesX", "/prices/"]),
    ("/prices/*", ["/prices/ACME", "/prices/*"], ["/prices", "/prices/", "/prices/ACME/bid"]),
    ("/prices/**", ["/prices/ACME", "/prices/ACME/bid", "/prices/"], ["/prices", "/pricesX"]),
    ("/*/bid", ["/ACME/bid"], ["//bid", "/bid", "/ACME/bid/1"]),
    ("*", ["prices"], ["/prices", "prices/a"]),
    ("**", ["prices", "/prices/a"], []),
]


@pytest.mark.parametrize(("pattern", "gets", "not_these"), PATTERNS)
def test_a_pattern_gets_what_the_page_says(pattern, gets, not_these, server):
    listener = Poller(server.port, f"subject={pattern}")
    subjects = [*not_these, *gets]
    assert publish(server.port, [{"subject": subject, "data": 1} for subject in subjects])["accepted"] == len(subjects)
    assert [event["subject"] for event in listener.events()] == gets


def test_losses_are_told(server):
    """P-30: what queue and conflate drop is counted in `lost`."""
    few = Poller(server.port, "subject=/loss&queue=2")
    newest = Poller(server.port, "subject=/loss&conflate=true")
    publish(server.port, [{"subject": "/loss", "data": number} for number in range(5)])
    told = lambda poller: [(event.get("lost", 0), event["data"]) for event in poller.events()]
    assert told(few) == [(3, 3), (0, 4)]
    assert told(newest) == [(4, 4)]


def test_a_session_of_a_stream_cannot_be_polled(server):
    with Wire(server.port) as wire:
        wire.send(request("GET", "/v1/sse?subject=/a", version="HTTP/1.0"))
        wire.answer(whole=False)
        told = [wire.line() for _ in range(3)][2]
        session = json.loads(told[6:])["session"]
        problem = ask(server.port, "GET", f"/v1/poll?session={session}").problem()
        assert (problem["status"], problem["field"]) == (400, "session")


def test_a_unicast_reaches_its_address_alone(server):
    one, other = Poller(server.port, "subject=/mail"), Poller(server.port, "subject=/mail")
    publish(server.port, {"subject": "/mail", "data": 1, "to": one.address})
    assert [event["data"] for event in one.events()] == [1]
    assert other.events() == []


def test_a_client_that_was_away_is_told_that_it_missed_something(server):
    for target, headers in (
        ("/v1/sse?subject=/a", (("Last-Event-ID", 'x"y'),)),
        ("/v1/sse?subject=/a&last_event_id=x%22y", ()),
    ):
        with Wire(server.port) as wire:
            wire.send(request("GET", target, headers, version="HTTP/1.0"))
            wire.answer(whole=False)
            lines = [wire.line().decode() for _ in range(7)]
            assert json.loads(lines[2][6:])["reset"] is True
            assert lines[4] == "event: reset\n"
            assert json.loads(lines[5][6:]) == {"reason": "no-history", "last_event_id": 'x"y'}


# Idempotency


def keyed(key, value, headers=()):
    return request("POST", "/v1/publish", (JSON, ("Idempotency-Key", key), *headers), json.dumps(value).encode())


def test_a_key_publishes_once(server):
    listener = Poller(server.port, "subject=/once")
    once = {"subject": "/once", "data": 1}
    first, again = (exchange(server.port, keyed("once", once)) for _ in range(2))
    assert (first.status, first.headers["Idempotent-Replayed"]) == (202, None)
    assert (again.status, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert first.body == again.body
    another = exchange(server.port, keyed("once", {**once, "data": 2}))
    assert (another.status, another.problem()["field"]) == (422, "Idempotency-Key")
    # The keys of one holder are not those of another.
    assert exchange(server.port, keyed("once", {**once, "data": 3}, (BEARER,))).status == 202
    # Who published nothing may try again.
    assert exchange(server.port, keyed("twice", {"data": 1})).status == 400
    assert exchange(server.port, keyed("twice", once)).headers["Idempotent-Replayed"] is None
    assert [event["data"] for event in listener.events()] == [1, 3, 1]


def test_a_key_that_is_in_use_waits(server):
    """The first request is many events, which take many turns; the second one comes in between."""
    value = [{"subjects": [f"/{number}" for number in range(30)], "data": 1}] * 1000
    for attempt in range(100):
        data = keyed(f"busy {attempt}".replace(" ", "-"), value)
        with Wire(server.port) as first, Wire(server.port) as second:
            first.send(data[:-1])
            second.send(data[:-1])
            first.send(data[-1:])
            second.send(data[-1:])
            answer = second.answer()
            whole = first.answer()
        # Of two connections either may be read first.
        refused = [one for one in (answer, whole) if one.status == 409]
        if refused:
            assert refused[0].problem()["field"] == "Idempotency-Key" and refused[0].headers["Retry-After"] == "1"
            return
        assert {answer.headers["Idempotent-Replayed"], whole.headers["Idempotent-Replayed"]} == {None, "true"}
    raise AssertionError("the second request never came in between")


def test_too_many_keys_are_refused():
    """A server remembers answers of a bounded size; those to lists of some bad items are the largest."""
    value = [item(), *[{"subject": "/a", "data": 1, "x" * 60: 1}] * 40]
    with configured() as server, Wire(server.port) as wire:
        for number in range(20_000):
            wire.send(keyed(f"key-{number}", value))
            answer = wire.answer()
            if answer.status != 202:
                break
        assert answer.status == 429 and number > 100, answer
        problem = answer.problem()
        assert (problem["field"], problem["limit"]) == ("Idempotency-Key", 65_536)
        assert answer.headers["Retry-After"] == "60"
        assert (
            exchange(server.port, request("POST", "/v1/publish", (JSON,), b'{"subject":"/a","data":1}')).status == 202
        )


def test_a_body_that_does_not_come_is_told():
    with Server(config='[http]\nbody_timeout = "100ms"\n', cores="1") as server, Wire(server.port) as wire:
        wire.send(request("POST", "/v1/publish", (JSON, ("Content-Length", "10")), length=False), b"{")
        answer = wire.answer()
        assert (answer.status, answer.problem()["field"]) == (408, "body")


# A server that is full, or stops


def test_a_full_server_says_so():
    """There may be four sessions for each connection."""
    with configured("--max-connections", "1") as server, Wire(server.port) as wire:
        answers = []
        for _ in range(5):
            wire.send(request("GET", "/v1/poll?subject=/a"))
            answers.append(wire.answer())
        assert [answer.status for answer in answers] == [200, 200, 200, 200, 503]
        assert answers[4].problem()["detail"] and answers[4].headers["Retry-After"] == "5"


def test_a_server_that_stops_says_so():
    """Requests that are half here when it begins to stop are answered."""
    targets = [
        request("GET", "/v1/sse?subject=/a"),
        request("GET", "/v1/poll?subject=/a"),
        request("POST", "/v1/publish", (JSON,), b'{"subject":"/a","data":1}'),
        request("POST", f"/v1/subscribe?session={UNKNOWN}&subject=/a"),
        request("POST", f"/v1/unsubscribe?session={UNKNOWN}&subject=/a"),
    ]
    with configured() as server:
        poller = Poller(server.port, "subject=/a")
        # The connections of the admin port are none of them, but for the one that asks.
        server.wait_metric("connections", 1)
        wires = [Wire(server.port) for _ in targets]
        waiting = Wire(server.port)
        try:
            for wire, data in zip(wires, targets):
                wire.send(data[:-1])
            server.wait_metric("connections", len(wires) + 2)
            # It is sent last and the core is one: when it waits, the halves before it have been read.
            waiting.send(request("GET", f"/v1/poll?session={poller.session}"))
            server.wait_metric("sessions_listening", 1)
            server.process.send_signal(signal.SIGTERM)
            assert waiting.answer().json()["end"]["reason"] == "shutdown"
            for wire, data in zip(wires, targets):
                wire.send(data[-1:])
                answer = wire.answer()
                assert answer.status == 503 and answer.headers["Retry-After"] == "5", answer
                assert answer.problem()["detail"]
        finally:
            for wire in (*wires, waiting):
                wire.close()
        assert server.wait_end() == 0, server.told()
