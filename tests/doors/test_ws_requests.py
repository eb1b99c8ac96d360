"""Requests over a WebSocket: what each of them is answered, whatever is wrong with it, and in which order."""

import base64
import dataclasses
import json

import pytest

from cases import CONFIG, KEY_FILES, OTHER, SECRET, UNKNOWN
from http_client import Poller, publish
from server import Server
from web import TEXT, Web, frame, text

REQUESTS_MAX = 1024
ANY = object()


@dataclasses.dataclass(frozen=True)
class Bad:
    """A message that is one request, what its nack says of it, and the `id` that the nack repeats."""

    name: str
    text: str
    status: int = 400
    field: str | None = None
    limit: int | None = None
    id: object = 1


def bad(name, value, field=None, limit=None, status=400, id=1):
    return Bad(name, value if isinstance(value, str) else json.dumps(value), status, field, limit, id)


def sub(**members):
    return {"type": "subscribe", "id": 1, "subject": "/a", **members}


def pub(**members):
    return {"type": "publish", "id": 1, "subject": "/a", "data": 1, **members}


def without(value, *names):
    return {name: member for name, member in value.items() if name not in names}


def nested(depth, value="1"):
    return depth * "[" + value + depth * "]"


# No request at all: nobody knows what its id would be.
NO_REQUEST = [
    *(
        bad(f"the text {value!r}", value, id=None)
        for value in (
            "", " ", "x", "1", "null", "true", '"ping"', "{", "}", '{"type":"ping"', '{"type":"ping"}x', '{"type":"ping",}',
            "{'type':'ping'}", '{type:"ping"}', '{"type":"ping"}{"type":"ping"}', "\ufeff" + '{"type":"ping"}', "]", "[1", '[{"type":"ping"}',
            '[{"type":"ping"},]', "NaN", '{"type":"ping","id":01}', '{"type":"ping","id":NaN}', '{"type":"pi\nng"}',
        )
    ),
    bad("an empty array", "[]", id=None),
    bad("too many requests", [{"type": "ping"}] * (REQUESTS_MAX + 1), None, REQUESTS_MAX, 413, None),
    bad("nothing but depth", 100_000 * "[", id=None),
    bad("nothing but depth in an object", '{"a":' + 100_000 * "[", id=None),
]
IDS = [
    *(
        bad(f"the id {value}", f'{{"type":"ping","id":{value}}}', "id", 64, id=None)
        for value in (
            "-1", "1.5", "1e3", "9007199254740992", "18446744073709551616", "1e999", "-0", "true", "[]", "{}", '""',
            f'"{65 * "x"}"', f'"{33 * "ü"}"', '[1]', '{"id":1}', '"\\ud800"',
        )
    ),
    bad("an id twice", '{"type":"ping","id":1,"id":2}', id=None),
    bad("an id of depth", '{"type":"ping","id":' + nested(50) + "}", "id", 64, id=None),
]
TYPES = [
    bad("no type", {"id": 1}, "type"),
    bad("an empty object", {}, "type", id=None),
    *(
        bad(f"the type {value!r}", {"type": value, "id": 1}, "type")
        for value in ("", "Ping", "PING", "ack", "session", "event", "join", "ping ", "x" * 10_000, "ü\u0000")
    ),
    bad("a null for a type", {"type": None, "id": 1}, "type"),
    *(bad(f"the type {value!r}", {"type": value, "id": 1}) for value in (1, True, [], {}, ["ping"])),
    bad("a type twice", '{"type":"ping","type":"ping","id":1}'),
    bad("an unknown member", {"type": "ping", "id": 1, "new": 1}),
    bad("an unknown member of an unknown type", {"type": "x", "id": 1, "new": 1}),
    bad("an empty name", {"type": "ping", "id": 1, "": 1}),
    *(
        bad(f"{name} of a ping", {"type": "ping", "id": 1, name: value}, name)
        for name, value in (
            ("subject", "/a"), ("queue", 1), ("conflate", True), ("subjects", ["/a"]), ("data", 1), ("base64", ""),
            ("content_type", "a/b"), ("event", "x"), ("to", UNKNOWN),
        )
    ),
    bad("half a character in a text", '{"type":"ping","id":1,"subject":"\\ud800"}', "subject"),
    bad("half a character in a name", '{"type":"ping","id":1,"\\udc00":1}', id=None),
]
SUBSCRIBING = [
    bad("no subject", {"type": "subscribe", "id": 1}, "subject"),
    *(
        bad(f"the subject {value!r}", sub(subject=value), "subject")
        for value in ("", ",", " , ", [], [""], None, 1, True, {}, [1], ["/a", None], ["/a", ["/b"]], "/a*", "/**/a", "*a", ["/a", "/b*"])
    ),
    bad("a subject that is too long", sub(subject=257 * "a"), "subject", 256),
    bad("a subject of too many bytes", sub(subject=129 * "ü"), "subject", 256),
    bad("too many stars", sub(subject=9 * "/*"), "subject", 8),
    bad("too many subjects", sub(subject=[f"/{number}" for number in range(129)]), "subject", 128),
    bad("too many subjects with commas", sub(subject=",".join(f"/{number}" for number in range(129))), "subject", 128),
    bad("a queue of nothing", sub(queue=0), "queue"),
    *(bad(f"the queue {value!r}", sub(queue=value)) for value in (-1, 1.5, "1", True, [], 1e30)),
    *(bad(f"the switch {value!r}", sub(conflate=value)) for value in (1, "true", [], {})),
    bad("data", sub(data=1), "data"),
    bad("subjects", sub(subjects=["/a"]), "subjects"),
    bad("to somebody", sub(to=UNKNOWN), "to"),
    bad("what needs a key", sub(subject="/secret/a"), "Authorization", status=401),
    bad("what nobody may", sub(subject="/closed/a"), "subject", status=403),
    bad("one of several that nobody may", sub(subject=["/a", "/closed/a"]), "subject", status=403),
    bad("to take back nothing", {"type": "unsubscribe", "id": 1}, "subject"),
    bad("to take back what was never there", {"type": "unsubscribe", "id": 1, "subject": "/never"}, "subject", status=404),
    bad("to take back with a wish", {"type": "unsubscribe", "id": 1, "subject": "/a", "queue": 1}, "queue"),
    bad("to take back an empty list", {"type": "unsubscribe", "id": 1, "subject": []}, "subject"),
    bad("to take back an empty text", {"type": "unsubscribe", "id": 1, "subject": ""}, "subject"),
]
PUBLISHING = [
    bad("no subject", without(pub(), "subject"), "subject"),
    bad("no data", without(pub(), "data"), "data"),
    bad("subject and subjects", pub(subjects=["/b"]), "subjects"),
    bad("no subjects", without(pub(subjects=[]), "subject"), "subject"),
    bad("too many subjects", without(pub(subjects=[f"/{number}" for number in range(129)]), "subject"), "subjects", 128),
    *(bad(f"the subject {value!r}", pub(subject=value), "subject") for value in ([], ["/a"], 1, None, {})),
    bad("an empty subject", pub(subject=""), "subject", 256),
    *(bad(f"the subjects {value!r}", without(pub(subjects=value), "subject")) for value in ("/a", 1, [1], {}, [["/a"]])),
    bad("a subject that is too long", pub(subject=257 * "a"), "subject", 256),
    bad("a subject of the server", pub(subject="$server/figures"), "subject", status=403),
    bad("an empty name", pub(event=""), "event"),
    bad("a name with a line end", pub(event="a\nid: 1"), "event"),
    bad("a name that is too long", pub(event=65 * "x"), "event", 64),
    bad("a name that is no text", pub(event=1)),
    *(
        bad(f"the name {name}", pub(event=name), "event")
        for name in ("session", "reset", "end", "open", "error", "message", "heartbeat")
    ),
    bad("a receiver that is no address", pub(to="me"), "to"),
    bad("a receiver that is no text", pub(to=1)),
    bad("data and base64", pub(base64="AA==", content_type="a/b"), "base64"),
    bad("base64 of no type", without(pub(base64="AA=="), "data"), "content_type"),
    bad("base64 that is none", without(pub(base64="A", content_type="a/b"), "data"), "base64"),
    bad("base64 that is no text", without(pub(base64=1, content_type="a/b"), "data")),
    bad("a type that is none", pub(content_type="png", data=""), "content_type", 255),
    bad("a type of data that is no text", pub(content_type="a/b"), "data"),
    bad("JSON that is too deep", '{"type":"publish","id":1,"subject":"/a","data":' + nested(65) + "}", "data", 64),
    bad("JSON that is much too deep", '{"type":"publish","id":1,"subject":"/a","data":' + nested(120) + "}", "data", 64),
    bad("JSON that nobody reads", '{"type":"publish","id":1,"subject":"/a","data":' + nested(100_000) + "}", "data", 64),
    bad("half a character", '{"type":"publish","id":1,"subject":"/a","data":"\\ud800"}', "data"),
    bad("half a character within", '{"type":"publish","id":1,"subject":"/a","data":[{"a":["x\\udfff"]}]}', "data"),
    bad("half a character in the subject", '{"type":"publish","id":1,"subject":"\\ud800","data":1}', "subject"),
    bad("a wish", pub(queue=1), "queue"),
    bad("a switch", pub(conflate=True), "conflate"),
    bad("data twice", '{"type":"publish","id":1,"subject":"/a","data":1,"data":2}'),
    bad("a subject twice", '{"type":"publish","id":1,"subject":"/a","subject":"/b","data":2}'),
    bad("a member of the server", pub(**{"from": UNKNOWN})),
    bad("a time", pub(time=1)),
    bad("a field of the other protocol", pub(p_from="me")),
    bad("what needs a key", pub(subject="/secret/a"), "Authorization", status=401),
    bad("what nobody may", pub(subject="/closed/a"), "subject", status=403),
]
BADS = [
    *(dataclasses.replace(case, name=f"{group}: {case.name}"[:100]) for group, cases in (
        ("request", NO_REQUEST), ("id", IDS), ("type", TYPES), ("subscribe", SUBSCRIBING), ("publish", PUBLISHING))
      for case in cases),
]


@pytest.fixture(scope="module")
def server():
    with Server(config=CONFIG, files=KEY_FILES) as server:
        yield server
        assert server.process.poll() is None, server.told()


@pytest.fixture(scope="module")
def shared(server):
    """One WebSocket for all that is refused: it must survive all of it."""
    with Web(server.port) as web:
        yield web
        assert web.sync() == []
        web.leave()


@pytest.fixture
def web(server):
    with Web(server.port) as web:
        yield web


def is_nack(found, status, field=None, limit=None, id=1):
    assert found["type"] == "nack" and found["reason"], found
    assert found.keys() <= {"type", "id", "status", "reason", "field", "limit", "retry_after_s", "accepted", "refused"}, found
    assert (found["status"], found.get("field"), found.get("limit"), found.get("id")) == (status, field, limit, id), found
    assert len(found["reason"]) < 400 and "\n" not in found["reason"], found


@pytest.mark.parametrize("case", BADS, ids=lambda case: case.name)
def test_each_bad_request_gets_its_nack(case, shared):
    """And nothing else: the connection stays, and what is sent next is served."""
    shared.send(text(case.text))
    (found,) = shared.sync()
    is_nack(found, case.status, case.field, case.limit, case.id)


# What is answered


@pytest.mark.parametrize("id", [0, 1, 2**53 - 1, "a", "x" * 64, "ü" * 32, "0", "\"", "\u2028\n\0", "\U0001d11e"], ids=str)
def test_an_id_comes_back_as_it_was(id, web):
    """For all kinds of requests and answers."""
    assert web.ask({"type": "ping", "id": id})["id"] == id
    assert web.ask(sub(id=id)) == {"type": "ack", "id": id}
    web.say(pub(id=id))
    answer, event = sorted(web.messages(2), key=lambda found: found.get("type", "event"))
    assert answer == {"type": "ack", "id": id, "accepted": 1, "refused": 0} and event["data"] == 1
    assert web.ask({"type": "unsubscribe", "id": id, "subject": "/a"}) == {"type": "ack", "id": id}
    is_nack(web.ask({"type": "nothing", "id": id}), 400, "type", id=id)


def test_the_letters_of_an_id_come_back_as_they_were(web):
    web.send(text('{"type":"ping","id":"\\u0061\\/"}'))
    found = web.frame()
    assert b'"id":"\\u0061\\/"' in found.payload


def test_without_an_id_only_refusals_are_answered(web):
    web.say(without(sub(), "id"), without(pub(subject="/elsewhere"), "id"), {"type": "unsubscribe", "subject": "/a"})
    web.say({"type": "unsubscribe", "subject": "/a"}, without(pub(subject=""), "id"))
    first, second = web.sync()
    is_nack(first, 404, "subject", id=None)
    is_nack(second, 400, "subject", 256, None)


def test_a_ping_without_an_id_gets_a_pong_without_one(web):
    web.say({"type": "ping"})
    found = web.message()
    assert found == {"type": "pong", "time": found["time"]}


@pytest.mark.parametrize("value", ['[{"type":"ping","id":1}]', ' [ {"type" : "ping" , "id" : 1 } ] ', '\n{"type":"ping",\t"id":1}\r\n', '{"id":1,"type":"ping"}', '{"\\u0074ype":"\\u0070ing","id":1}', '{"type":"ping","id":1,"queue":null}'])
def test_json_may_be_written_as_one_likes(value, web):
    web.send(text(value))
    assert web.message()["id"] == 1


def test_an_array_is_carried_out_in_order_and_each_is_answered(web):
    web.say([
        {"type": "ping", "id": 1}, sub(id=2), {"type": "nothing", "id": 3}, 4, [{"type": "ping", "id": 5}], {"type": "ping"},
        {"type": "unsubscribe", "id": 6, "subject": "/a"}, {"type": "unsubscribe", "id": 7, "subject": "/a"}, {},
    ])
    found = web.sync()
    assert [(one["type"], one.get("id")) for one in found] == [
        ("pong", 1), ("ack", 2), ("nack", 3), ("nack", None), ("nack", None), ("pong", None), ("ack", 6), ("nack", 7), ("nack", None),
    ]


def test_an_array_may_hold_as_many_as_the_bound(web):
    web.say([{"type": "ping", "id": number} for number in range(REQUESTS_MAX)])
    assert [found["id"] for found in web.messages(REQUESTS_MAX)] == list(range(REQUESTS_MAX))


def test_requests_that_are_sent_at_once_are_answered_in_order(web):
    many = 3000
    web.say(*(pub(id=number, subject=f"/{number % 7}") if number % 3 else {"type": "ping", "id": number} for number in range(many)))
    assert [found["id"] for found in web.messages(many)] == list(range(many))


def test_events_come_in_the_order_in_which_they_were_accepted(server, web):
    """Those of one publisher on one subject; with the acks of its requests, each behind the one before it."""
    assert web.ask(sub(subject="/order"))["type"] == "ack"
    many = 200
    with Web(server.port, "subject=/order") as other:
        web.say(*(pub(id=number, subject="/order", data=number) for number in range(many)))
        found = web.messages(2 * many)
        assert [one["id"] for one in found if "type" in one] == list(range(many))
        assert [one["data"] for one in found if "type" not in one] == list(range(many))
        assert [one["data"] for one in other.messages(many)] == list(range(many))


# What can be published


@pytest.mark.parametrize(
    "members",
    [
        {"data": None}, {"data": 0}, {"data": -1.5e300}, {"data": 12345678901234567890123}, {"data": ""}, {"data": []}, {"data": {}},
        {"data": {"type": "ack", "id": 1}}, {"data": "a\rb\nc\u2028\0\ud7ff"}, {"data": {"p_from": "x"}}, {"data": True},
        {"data": 1, "event": "alarm"}, {"data": "text", "content_type": "text/plain"}, {"base64": "AAEC", "content_type": "image/png"},
        {"data": [[[[1]]]]}, {"data": {"": {"": ""}}}, {"data": "\U0001d11e"},
    ],
    ids=json.dumps,
)
def test_each_kind_of_data_arrives_as_it_was(members, server, web):
    listener = Poller(server.port, "subject=/kinds")
    assert web.ask(sub(subject="/kinds"))["type"] == "ack"
    web.say({"type": "publish", "subject": "/kinds", **members})
    found = web.message()
    assert found == {"subject": "/kinds", "time": found["time"], "from": web.address, **members}
    assert listener.events() == [found], "the same at every door"


def test_data_as_deep_as_it_may_be(web):
    assert web.ask(sub(subject="/deep"))["type"] == "ack"
    web.send(text('{"type":"publish","subject":"/deep","data":' + nested(64) + "}"))
    assert json.dumps(web.message()["data"]).count("[") == 64


def test_a_publish_says_how_many_were_accepted(web):
    assert web.ask(pub(subject="/a")) == {"type": "ack", "id": 1, "accepted": 1, "refused": 0}
    assert web.ask(without(pub(subjects=["/a", "/b", "/c"]), "subject"))["accepted"] == 3
    assert web.ask(without(pub(subjects=["/a", "/b", "/a"]), "subject"))["accepted"] == 2
    mixed = web.ask(without(pub(subjects=["/a", "/closed/b", "/c"]), "subject"))
    assert mixed["type"] == "nack" and mixed["status"] == 403 and mixed["accepted"] + mixed["refused"] in (1, 3), mixed


def test_a_secret_is_not_published(server):
    with Web(server.port, f"subject=/keys&key={SECRET}") as web:
        is_nack(web.ask(pub(subject="/keys", data={"key": SECRET})), 400, "key")
        assert web.ask(pub(subject="/keys", data={"key": "of a door"}))["type"] == "ack"
        assert web.message()["data"] == {"key": "of a door"}


def test_a_unicast_reaches_its_address_alone(server, web):
    with Web(server.port, "subject=/mail") as one, Web(server.port, "subject=/mail") as two:
        poller = Poller(server.port, "subject=/mail")
        web.say(pub(subject="/mail", data="to one", to=one.address), pub(id=2, subject="/mail", data="to the poller", to=poller.address))
        assert [found["accepted"] for found in web.messages(2)] == [1, 1]
        found = one.message()
        assert found == {"subject": "/mail", "data": "to one", "time": found["time"], "from": web.address}
        # And back, to where it came from. Who is written to needs no subscription.
        one.say(pub(subject="/reply", to=found["from"], data="back"))
        assert one.message()["accepted"] == 1
        assert web.message()["data"] == "back"
        assert [event["data"] for event in poller.events()] == ["to the poller"]
        assert one.sync() == two.sync() == []


def test_a_unicast_to_nobody_says_so(web):
    found = web.ask(pub(to=UNKNOWN))
    assert (found["type"], found.get("accepted")) == ("ack", 1) or found["status"] == 404, found


# What can be subscribed to


def heard(web, server, *subjects):
    """Which of the subjects come, and how often."""
    mark = {"subject": "/mark", "data": None, "to": web.address}
    publish(server.port, [*({"subject": subject, "data": 1} for subject in subjects), mark])
    return [found["subject"] for found in web.until_event("/mark")[:-1]]


def test_subscriptions_come_and_go(server, web):
    assert heard(web, server, "/s/1", "/s/2") == []
    web.say(sub(subject="/s/1"))
    assert web.message() == {"type": "ack", "id": 1}
    assert heard(web, server, "/s/1", "/s/2") == ["/s/1"]
    assert web.ask(sub(subject=["/s/2", "/s/3, /s/4"]))["type"] == "ack"
    assert heard(web, server, "/s/1", "/s/2", "/s/3", "/s/4", "/s/5") == ["/s/1", "/s/2", "/s/3", "/s/4"]
    assert web.ask({"type": "unsubscribe", "id": 1, "subject": "/s/3,/s/1"})["type"] == "ack"
    assert heard(web, server, "/s/1", "/s/2", "/s/3", "/s/4") == ["/s/2", "/s/4"]
    assert web.ask({"type": "unsubscribe", "id": 1, "subject": ["/s/2", "/s/4"]})["type"] == "ack"
    assert heard(web, server, "/s/1", "/s/2", "/s/3", "/s/4") == []


def test_what_the_url_subscribes_to_can_be_taken_back(server):
    with Web(server.port, "subject=/u/1,/u/2&subject=/u/3") as web:
        assert heard(web, server, "/u/1", "/u/2", "/u/3") == ["/u/1", "/u/2", "/u/3"]
        assert web.ask({"type": "unsubscribe", "id": 1, "subject": "/u/2"})["type"] == "ack"
        assert heard(web, server, "/u/1", "/u/2", "/u/3") == ["/u/1", "/u/3"]


def test_a_subscription_again_is_no_second_one(server, web):
    for _ in range(2):
        assert web.ask(sub(subject="/again"))["type"] == "ack"
    assert heard(web, server, "/again") == ["/again"]
    assert web.ask({"type": "unsubscribe", "id": 1, "subject": "/again"})["type"] == "ack"
    assert heard(web, server, "/again") == []


def test_what_two_patterns_match_comes_once(server, web):
    assert web.ask(sub(subject=["/two/*", "/two/**", "/two/a"]))["type"] == "ack"
    assert heard(web, server, "/two/a", "/two/b/c") == ["/two/a", "/two/b/c"]
    assert web.ask({"type": "unsubscribe", "id": 1, "subject": "/two/**"})["type"] == "ack"
    assert heard(web, server, "/two/a", "/two/b/c") == ["/two/a"]


def test_a_subscribe_is_all_or_nothing(server, web):
    is_nack(web.ask(sub(subject=["/all/1", "/closed/1", "/all/2"])), 403, "subject")
    assert heard(web, server, "/all/1", "/all/2") == []
    is_nack(web.ask(sub(subject=["/all/1", "/all*"])), 400, "subject")
    assert heard(web, server, "/all/1") == []
    assert web.ask(sub(subject="/all/1"))["type"] == "ack"
    is_nack(web.ask({"type": "unsubscribe", "id": 1, "subject": ["/all/1", "/all/2"]}), 404, "subject")
    assert heard(web, server, "/all/1") == ["/all/1"]
    # 128 are the most; those that it has count.
    is_nack(web.ask(sub(subject=[f"/all/more/{number}" for number in range(128)])), 400, "subject", 128)
    assert heard(web, server, "/all/more/0") == []
    assert web.ask(sub(subject=[f"/all/more/{number}" for number in range(127)]))["type"] == "ack"
    is_nack(web.ask(sub(subject="/all/one-too-many")), 400, "subject", 128)
    # What it has does not become more by being asked for again.
    assert web.ask(sub(subject="/all/more/5"))["type"] == "ack"


def test_who_did_not_subscribe_gets_nothing(server, web):
    with Web(server.port) as other:
        assert other.ask(sub(subject="/mine"))["type"] == "ack"
        assert heard(web, server, "/mine") == []


def test_a_key_gives_its_rights_to_the_whole_session(server):
    with Web(server.port, headers=(("Authorization", f"Bearer {SECRET}"),)) as web:
        assert web.ask(sub(subject="/secret/a"))["type"] == "ack"
        assert web.ask(pub(subject="/secret/a"))["type"] == "ack"
        assert web.message()["subject"] == "/secret/a"
        is_nack(web.ask(sub(subject="/closed/a")), 403, "subject")
    with Web(server.port, headers=(OTHER,)) as web:
        is_nack(web.ask(sub(subject="/secret/a")), 403, "subject")
        is_nack(web.ask(pub(subject="/secret/a")), 403, "subject")


def test_a_wide_pattern_shows_what_its_owner_may_see(server):
    """docs/access.md: each event is judged when it is delivered."""
    with Web(server.port, "subject=/**") as anyone, Web(server.port, f"subject=/**&key={SECRET}") as backend:
        backend.say(pub(subject="/secret/x"), pub(id=2, subject="/open/x"))
        found = backend.until_event("/open/x")
        assert [one["subject"] for one in found if "type" not in one] == ["/secret/x", "/open/x"]
        assert [one["subject"] for one in anyone.until_event("/open/x")] == ["/open/x"]
