"""The life of a session at the modern doors: how it begins, what it hears, how it changes that, and how it ends."""

import json
import signal

import pytest

from cases import BEARER, CONFIG, FRIEND, KEY_FILES, OTHER, SECRET, UNKNOWN
from http_client import Poller, ask, publish
from server import Server
from streams import EventStream
from web import CLOSE, PING, PONG, Web, closing, frame
from wire import Wire, exchange, request

PRESENCE = '\n[[presence]]\nsubject = "/rooms/*"\n'
# docs/ws.md, close codes.
RETRY_MS_MAX = 5000


@pytest.fixture(scope="module", params=["1", "2"])
def server(request):
    with Server(config=CONFIG + PRESENCE, files=KEY_FILES, cores=request.param) as server:
        yield server
        assert server.process.poll() is None, server.told()


# The beginning


def test_the_first_message_says_what_the_session_is(server):
    with Web(server.port) as web:
        assert web.first == {
            "type": "session",
            "session": web.session,
            "address": web.address,
            "heartbeat_ms": 20_000,
            "message_max": 262_144,
        }
        assert len(web.session) == len(web.address) == 24 and web.session != web.address


def test_a_client_that_was_away_is_told_that_it_missed_something(server):
    with Web(server.port, "subject=/a&last_event_id=x%22y") as web:
        assert web.first["reset"] is True
        assert web.message() == {"type": "reset", "reason": "no-history", "last_event_id": 'x"y'}


def test_sessions_are_counted(server):
    before = server.metric("sessions")
    webs = [Web(server.port, "subject=/count") for _ in range(10)]
    server.wait_metric("sessions", before + 10)
    for web in webs[:5]:
        web.leave()
    for web in webs[5:]:
        web.close()
    server.wait_metric("sessions", before)


# Life signs


def test_heartbeats_can_be_seen():
    """Rule P-14: after silence, at the doors that say it in a message."""
    with Server("--heartbeat", "100ms") as server:
        with Web(server.port, "heartbeat=event") as web:
            assert web.first["heartbeat_ms"] == 100
            assert web.messages(3) == 3 * [{"type": "heartbeat"}]
        with EventStream(server.port, "subject=/a&heartbeat=event") as stream:
            assert [stream.message() for _ in range(3)] == 3 * [("heartbeat", {})]
        # Without the wish there are Pings and nothing else.
        with Web(server.port) as web:
            for _ in range(5):
                found = web.frame()
                assert found.opcode == PING, found
                web.send(frame(PONG, found.payload))
        with Wire(server.port) as wire:
            wire.send(request("GET", "/v1/sse?subject=/a", version="HTTP/1.0"))
            wire.answer(whole=False)
            lines = [wire.line() for _ in range(8)]
            assert [line for line in lines if line.startswith(b": hb")] and b"event: heartbeat\n" not in lines


def test_heartbeat_is_no_name_for_events(server):
    answer = ask(
        server.port, "POST", "/v1/publish?subject=/a&event=heartbeat", b"1", {"Content-Type": "application/json"}
    )
    assert (answer.status, answer.problem()["field"]) == (400, "event")


# Names


def test_names_may_stand_in_the_data_only(server):
    events = [{"subject": "/names", "event": "alarm", "data": 1}, {"subject": "/names", "data": 2}]
    with (
        EventStream(server.port, "subject=/names&names=data") as plain,
        EventStream(server.port, "subject=/names") as named,
    ):
        publish(server.port, events)
        told = [[stream.message() for _ in events] for stream in (plain, named)]
        assert [[name for name, _ in heard] for heard in told] == [[None, None], ["alarm", None]]
        assert [data for _, data in told[0]] == [data for _, data in told[1]], "the same data"
        assert told[0][0][1]["event"] == "alarm"
        # What the server says keeps its name.
        ask(server.port, "GET", f"/pushlet.srv?p_event=leave&p_id={plain.session}")
        assert plain.message() == ("end", {"reason": "leave", "text": "the session has left"})
    with EventStream(server.port, "subject=/names&names=data&last_event_id=7") as stream:
        assert stream.message()[0] == "reset"


@pytest.mark.parametrize("wrong", ["names=DATA", "names=x", "heartbeat=yes"])
def test_a_wish_that_nobody_knows_is_refused(wrong, server):
    asked = request("GET", f"/v1/sse?subject=/a&{wrong}")
    # A stream would never end.
    assert exchange(server.port, asked, whole=False).status == 400
    answer = exchange(server.port, asked)
    assert (answer.status, answer.problem()["field"]) == (400, wrong.split("=")[0])


# Losses


def test_losses_are_told():
    """P-30: by the policy drop-oldest, for a client that reads nothing for a while."""
    with (
        Server("--queue-size", "4", "--overflow", "drop-oldest", cores="1") as server,
        Web(server.port, "subject=/loss") as web,
    ):
        data, count = 4000 * "x", 0
        while server.metric("lost_total") == 0:
            publish(server.port, [{"subject": "/loss", "data": [count + number, data]} for number in range(50)])
            count += 50
        publish(server.port, {"subject": "/loss", "data": [count, ""]})
        next_one, lost = 0, 0
        while next_one <= count:
            event = web.message()
            skipped = event.get("lost", 0)
            assert event["data"][0] == next_one + skipped, "what is missing is told with the event behind it"
            next_one, lost = event["data"][0] + 1, lost + skipped
        assert lost > 0


def test_what_is_conflated_is_told(server):
    """The answers go first in the same write, so nothing was read in between: the newest of each subject is left."""
    with Web(server.port, "subject=/**&conflate=true", answers=False) as web:
        web.say([{"type": "publish", "subject": "/conflate", "data": number} for number in range(500)])
        last, lost = -1, 0
        while last < 499:
            event = web.message()
            if event.get("subject") != "/conflate":
                continue
            assert event["data"] == last + 1 + event.get("lost", 0)
            last, lost = event["data"], lost + event.get("lost", 0)


def test_wishes_change_by_subscribing_again():
    with Server("--queue-size", "1000", cores="1") as server, Web(server.port, "subject=/wish") as web:

        def lost_of_100():
            """How many of 100 events get lost that are accepted before anything is written."""
            publish(server.port, [{"subject": "/wish", "data": number} for number in range(100)])
            found = [web.message()]
            while found[-1]["data"] < 99:
                found.append(web.message())
            assert len(found) + sum(one.get("lost", 0) for one in found) == 100
            return sum(one.get("lost", 0) for one in found)

        assert lost_of_100() == 0
        assert web.ask({"type": "subscribe", "id": 1, "subject": "/wish", "queue": 5})["type"] == "ack"
        few = lost_of_100()
        assert web.ask({"type": "subscribe", "id": 1, "subject": "/wish", "conflate": True})["type"] == "ack"
        newest = lost_of_100()
        assert web.ask({"type": "subscribe", "id": 1, "subject": "/wish"})["type"] == "ack"
        assert (few > 0, newest > 0, lost_of_100()) == (True, True, 0)


# Presence


def test_a_websocket_is_present_while_it_listens(server):
    with Web(server.port, "subject=$presence/rooms/*") as watcher:
        with Web(server.port) as guest:
            guest.say({"type": "subscribe", "subject": "/rooms/1"})
            told = [watcher.message()]
            guest.say({"type": "unsubscribe", "subject": "/rooms/1"})
            told.append(watcher.message())
            guest.say({"type": "subscribe", "subject": "/rooms/2"})
            told.append(watcher.message())
        told.append(watcher.message())
        assert [(one["subject"], one["event"], one["data"]["count"]) for one in told] == [
            ("$presence/rooms/1", "joined", 1),
            ("$presence/rooms/1", "left", 0),
            ("$presence/rooms/2", "joined", 1),
            ("$presence/rooms/2", "left", 0),
        ]


# The end


def is_end(found, reason, action):
    assert found.keys() == {"type", "reason", "text", "action", "retry_ms"} and found["text"], found
    assert (found["type"], found["reason"], found["action"]) == ("end", reason, action), found
    assert 0 <= found["retry_ms"] <= RETRY_MS_MAX, found


def test_a_session_ends_by_its_id(server):
    """P-27, by the Pushlet door, from another connection."""
    with Web(server.port, "subject=/a") as web:
        assert ask(server.port, "GET", f"/pushlet.srv?p_event=leave&p_id={web.session}").status == 200
        heard, close = web.end()
        is_end(heard[-1], "leave", "nothing")
        assert (len(heard), close.code, close.reason) == (1, 4001, "the session has left")
        assert web.wire.rest() == b""


def test_a_server_that_stops_says_goodbye():
    """P-32: to everybody, with a moment at which to come again that is not everybody's."""
    with Server() as server:
        webs = [Web(server.port, "subject=/a") for _ in range(20)]
        server.process.send_signal(signal.SIGTERM)
        moments = set()
        for web in webs:
            heard, close = web.end()
            is_end(heard[-1], "shutdown", "rejoin-later")
            assert len(heard) == 1 and close.code == 1012 and close.reason
            moments.add(heard[-1]["retry_ms"])
            assert web.wire.rest() == b""
            web.close()
        assert len(moments) > 10 and min(moments) >= 1000
        assert server.wait_end() == 0, server.told()


def test_events_before_the_end_come_before_it():
    with Server(cores="1") as server, Web(server.port, "subject=/last") as web:
        publish(server.port, [{"subject": "/last", "data": number} for number in range(100)])
        server.process.send_signal(signal.SIGTERM)
        heard, close = web.end()
        assert [found.get("data") for found in heard[:-1]] == list(range(100)) and close.code == 1012
        web.close()
        assert server.wait_end() == 0, server.told()


def test_a_client_that_closes_while_events_come_is_let_go(server):
    with Web(server.port, "subject=/leaving") as web:
        web.say([{"type": "publish", "subject": "/leaving", "data": number} for number in range(200)])
        web.send(frame(CLOSE, closing(1000, "bye")))
        _, close = web.end()
        assert close.code == 1000 and web.wire.rest() == b""


def test_the_doors_hear_each_other(server):
    """What a WebSocket publishes is heard at all doors, with the address of its session, and the other way round."""
    with Web(server.port, "subject=/doors") as web, EventStream(server.port, "subject=/doors") as stream:
        poller = Poller(server.port, "subject=/doors")
        web.say({"type": "publish", "subject": "/doors", "event": "greeting", "data": {"a": "1"}})
        found = web.message()
        assert found == {
            "subject": "/doors",
            "event": "greeting",
            "data": {"a": "1"},
            "time": found["time"],
            "from": web.address,
        }
        assert stream.message() == ("greeting", found) and poller.events(5) == [found]
        publish(server.port, {"subject": "/doors", "data": 2})
        assert web.message()["data"] == stream.message()[1]["data"] == poller.events(5)[0]["data"] == 2
        # A page of the old protocol.
        (joined,) = ask(server.port, "GET", "/pushlet.srv?p_event=join&p_format=json").json()
        said = f"/pushlet.srv?p_event=publish&p_id={joined['p_id']}&p_subject=/doors&text=hello"
        assert ask(server.port, "GET", said).status == 200
        found = web.message()
        assert (found["data"], len(found["from"])) == ({"text": "hello"}, 24)
        assert stream.message() == (None, found) and poller.events(5) == [found]


def test_a_websocket_cannot_be_polled(server):
    with Web(server.port, "subject=/a") as web:
        problem = ask(server.port, "GET", f"/v1/poll?session={web.session}").problem()
        assert (problem["status"], problem["field"]) == (400, "session")


# Subjects of a running session, by HTTP


class Listener:
    """A session at one of the doors, and what it hears."""

    def __init__(self, door, port, query, headers=()):
        self.door, self.port = door, port
        if door == "poll":
            self.end = Poller(port, query)
        else:
            self.end = (Web if door == "ws" else EventStream)(port, query, headers)
        self.session, self.address = self.end.session, self.end.address

    def hears(self, *subjects):
        """Which of the subjects come, by an event to this session that comes behind them."""
        mark = {"subject": "/mark", "data": None, "to": self.address}
        publish(self.port, [*({"subject": subject, "data": 1} for subject in subjects), mark])
        heard = []
        while not heard or heard[-1] != "/mark":
            if self.door == "poll":
                heard += [event["subject"] for event in self.end.events(5)]
            else:
                heard.append((self.end.message() if self.door == "ws" else self.end.message()[1])["subject"])
        return heard[:-1]

    def close(self):
        if self.door != "poll":
            self.end.close()


@pytest.fixture(params=["sse", "poll", "ws"])
def listener(request, server):
    listener = Listener(request.param, server.port, "subject=/begin")
    yield listener
    listener.close()


def amend(server, verb, session, query, headers=(), body=b"", method="POST"):
    return exchange(server.port, request(method, f"/v1/{verb}?session={session}&{query}", headers, body), method)


def done(answer):
    assert (answer.status, answer.body) == (204, b""), answer
    assert answer.headers["Cache-Control"] == "no-store"
    return True


def test_a_session_changes_its_subjects(listener, server):
    """Whichever core the request comes to: with two each connection has its own."""
    assert listener.hears("/begin", "/h/1") == ["/begin"]
    for number in range(1, 9):
        assert done(amend(server, "subscribe", listener.session, f"subject=/h/{number}"))
    assert done(amend(server, "subscribe", listener.session, "subject=/h/a,/h/b&subject=/w/*"))
    assert listener.hears("/h/0", "/h/1", "/h/8", "/h/a", "/w/x", "/w") == ["/h/1", "/h/8", "/h/a", "/w/x"]
    for number in range(1, 9, 2):
        assert done(amend(server, "unsubscribe", listener.session, f"subject=/h/{number}"))
    assert listener.hears("/h/1", "/h/2", "/h/3", "/h/4") == ["/h/2", "/h/4"]
    assert done(amend(server, "unsubscribe", listener.session, "subject=/w/*,/h/2&subject=/h/4"))
    assert listener.hears("/h/2", "/h/4", "/w/x", "/h/6", "/begin") == ["/h/6", "/begin"]
    # What it began with can be taken back as well.
    assert done(amend(server, "unsubscribe", listener.session, "subject=/begin"))
    assert listener.hears("/begin") == []
    # Twice is once.
    for _ in range(2):
        assert done(amend(server, "subscribe", listener.session, "subject=/twice"))
    assert listener.hears("/twice") == ["/twice"]


def test_a_session_may_publish_by_post(listener, server):
    """Whichever core the request comes to, its events tell the session's address."""
    headers = {"Content-Type": "application/json"}
    with Web(server.port, "subject=/spoken") as web:
        for number in range(6):
            item = json.dumps({"subject": "/spoken", "data": number}).encode()
            answer = ask(server.port, "POST", f"/v1/publish?session={listener.session}", item, headers)
            assert answer.status == 202, answer
            event = web.message()
            assert (event["data"], event["from"]) == (number, listener.address)
    item = b'{"subject":"/spoken","data":1}'
    for query, more, status, field in [
        ("session=AAAAAAAAAAAAAAAAAAAAAAAA", {}, 404, "session"),
        ("session=nobody", {}, 404, "session"),
        (f"session={listener.session}", {"Idempotency-Key": "k"}, 400, "Idempotency-Key"),
        (f"session={listener.session}", {"Content-Type": "application/x-ndjson"}, 400, "session"),
    ]:
        answer = ask(server.port, "POST", f"/v1/publish?{query}", item, headers | more)
        assert (answer.status, answer.json()["field"]) == (status, field), answer


def test_an_amendment_is_all_or_nothing(listener, server):
    for verb, query, status, field in [
        ("subscribe", "subject=/n/1,/closed/x", 403, "subject"),
        ("subscribe", "subject=/n/1,/n*", 400, "subject"),
        ("subscribe", "subject=/n/1&queue=0", 400, "queue"),
        ("subscribe", "subject=/n/1&conflate=x", 400, "conflate"),
        ("subscribe", "subject=" + ",".join(f"/n/{number}" for number in range(128)), 400, "subject"),
        ("unsubscribe", "subject=/begin,/n/1", 404, "subject"),
        ("unsubscribe", "subject=/n/1", 404, "subject"),
    ]:
        answer = amend(server, verb, listener.session, query)
        assert (answer.status, answer.problem()["field"]) == (status, field), (verb, query)
    assert listener.hears("/begin", "/n/1") == ["/begin"]


def test_wishes_come_with_an_amendment(server):
    poller = Poller(server.port, "subject=/begin")
    assert done(amend(server, "subscribe", poller.session, "subject=/q&queue=2"))
    publish(server.port, [{"subject": "/q", "data": number} for number in range(5)])
    assert [(event.get("lost", 0), event["data"]) for event in poller.events(5)] == [(3, 3), (0, 4)]
    assert done(amend(server, "subscribe", poller.session, "subject=/q&conflate=true"))
    publish(server.port, [{"subject": "/q", "data": number} for number in range(5)])
    assert [(event.get("lost", 0), event["data"]) for event in poller.events(5)] == [(4, 4)]


def test_a_poll_that_waits_hears_what_is_added(server):
    poller = Poller(server.port, "subject=/begin")
    with Wire(server.port) as waiting:
        before = server.metric("sessions_listening")
        waiting.send(request("GET", f"/v1/poll?session={poller.session}"))
        server.wait_metric("sessions_listening", before + 1)
        assert done(amend(server, "subscribe", poller.session, "subject=/added"))
        publish(server.port, {"subject": "/added", "data": 1})
        assert [event["subject"] for event in waiting.answer().json()["events"]] == ["/added"]


def test_a_session_may_do_what_its_key_may(server):
    """And that is the key that was presented last."""
    plain = Poller(server.port, "subject=/begin")
    keyed = Poller(server.port, f"subject=/begin&key={SECRET}")
    refused = amend(server, "subscribe", plain.session, "subject=/secret/x")
    assert (refused.status, refused.problem()["field"]) == (401, "Authorization")
    assert done(amend(server, "subscribe", keyed.session, "subject=/secret/x"))
    answer = amend(server, "subscribe", plain.session, "subject=/secret/x", (OTHER,))
    assert answer.status == 403, answer
    publish_secret = request(
        "POST", "/v1/publish", (("Content-Type", "application/json"), BEARER), b'{"subject":"/secret/x","data":1}'
    )
    assert exchange(server.port, publish_secret).status == 202
    assert [event["subject"] for event in keyed.events(5)] == ["/secret/x"]
    assert plain.events() == []
    assert done(amend(server, "subscribe", plain.session, "subject=/secret/x", (BEARER,)))
    assert exchange(server.port, publish_secret).status == 202
    assert [event["subject"] for event in plain.events(5)] == ["/secret/x"]
    assert done(amend(server, "subscribe", plain.session, "subject=/secret/y")), "it is the session's from then on"


@pytest.mark.parametrize("verb", ["subscribe", "unsubscribe"])
def test_a_bad_amendment_says_what_is_wrong(verb, server):
    poller = Poller(server.port, "subject=/begin")
    joined = json.loads(ask(server.port, "GET", "/pushlet.srv?p_event=join&p_format=json").body)
    old = joined[0]["p_id"]
    for name, data, status, field in [
        ("nothing", request("POST", f"/v1/{verb}"), 400, "session"),
        ("no session", request("POST", f"/v1/{verb}?subject=/begin"), 400, "session"),
        ("an empty session", request("POST", f"/v1/{verb}?session=&subject=/begin"), 404, "session"),
        ("no id", request("POST", f"/v1/{verb}?session=me&subject=/begin"), 404, "session"),
        ("an unknown id", request("POST", f"/v1/{verb}?session={UNKNOWN}&subject=/begin"), 404, "session"),
        ("an address", request("POST", f"/v1/{verb}?session={poller.address}&subject=/begin"), 404, "session"),
        (
            "a session of the other protocol",
            request("POST", f"/v1/{verb}?session={old}&subject=/begin"),
            400,
            "session",
        ),
        ("no subject", request("POST", f"/v1/{verb}?session={poller.session}"), 400, "subject"),
        ("an empty subject", request("POST", f"/v1/{verb}?session={poller.session}&subject="), 400, "subject"),
        (
            "a subject that is too long",
            request("POST", f"/v1/{verb}?session={poller.session}&subject={257 * 'a'}"),
            400 if verb == "subscribe" else 404,
            "subject",
        ),
        ("no UTF-8", request("POST", f"/v1/{verb}?session={poller.session}&subject=%FF"), 400, None),
        (
            "a page of another site",
            request("POST", f"/v1/{verb}?session={poller.session}&subject=/a", (("Origin", "https://evil.example"),)),
            403,
            "Origin",
        ),
        (
            "an unknown key",
            request("POST", f"/v1/{verb}?session={poller.session}&subject=/begin&key=nobody-knows-this-one"),
            401,
            "Authorization",
        ),
        *(
            (f"the method {method}", request(method, f"/v1/{verb}?session={poller.session}&subject=/begin"), 405, None)
            for method in ("GET", "PUT", "DELETE")
        ),
    ]:
        answer = exchange(server.port, data)
        assert answer.status == status, (name, answer)
        assert answer.problem().get("field") == field, (name, answer)
    options = exchange(server.port, request("OPTIONS", f"/v1/{verb}"), "OPTIONS")
    assert (options.status, options.headers["Allow"]) == (204, "POST, OPTIONS")
    friend = amend(server, "subscribe", poller.session, "subject=/begin", (("Origin", FRIEND),))
    assert done(friend) and friend.headers["Access-Control-Allow-Origin"] == FRIEND
