"""What the doors answer, by hand: each status of each operation of docs/openapi.yaml, and the strictness of the doors.

The answers come from a server with the configuration CONFIG, on one core.
"""

import dataclasses
import json

from wire import request

SECRET = "correct-horse-battery-staple"
FRIEND = "https://friend.example"
CONFIG = f"""
[http]
allow_origins = ["{FRIEND}"]

[[key]]
name = "backend"
file = "backend.key"

[[key]]
name = "other"
file = "other.key"

[[access]]
subject = "/secret/**"
publish = ["backend"]
subscribe = ["backend"]

[[access]]
subject = "/closed/**"
publish = "nobody"
subscribe = "nobody"
"""
KEY_FILES = {"backend.key": f"{SECRET}\n", "other.key": "another-secret-of-another-one\n"}

JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
LINES = ("Content-Type", "application/x-ndjson")
BEARER = ("Authorization", f"Bearer {SECRET}")
OTHER = ("Authorization", "Bearer another-secret-of-another-one")
UNKNOWN = "A" * 24
LISTEN = "GET, HEAD, OPTIONS"


@dataclasses.dataclass(frozen=True)
class Case:
    """A request, and the status, the `field` and the `limit` of its answer."""

    name: str
    method: str
    target: str | bytes
    status: int
    field: str | None = None
    limit: int | None = None
    headers: tuple = ()
    body: bytes = b""
    # Fields of the answer's head.
    told: tuple = ()
    # Where the request as a whole is not HTTP, the answer is plain text.
    text: bool = False
    length: bool = True
    version: str = "HTTP/1.1"

    @property
    def path(self):
        target = self.target if isinstance(self.target, str) else self.target.decode("latin-1")
        return target.partition("?")[0]

    @property
    def operation(self):
        return f"{self.method.lower()} {self.path}"

    @property
    def bytes(self):
        return request(self.method, self.target, self.headers, self.body, self.version, self.length)

    @property
    def endless(self):
        return self.path == "/v1/sse" and self.status == 200 and self.method == "GET"


def get(name, target, status, field=None, limit=None, headers=(), **more):
    return Case(name, "GET", target, status, field, limit, headers, **more)


def post(name, value, status, field=None, limit=None, headers=(), target="/v1/publish", **more):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Case(name, "POST", target, status, field, limit, (JSON, *headers), body, **more)


def raw(name, headers, body, status, field=None, limit=None, target="/v1/publish", **more):
    return Case(name, "POST", target, status, field, limit, headers, body, **more)


def item(**members):
    return {"subject": "/a", "data": 1, **members}


def nested(depth):
    return b'{"subject":"/a","data":' + depth * b"[" + depth * b"]" + b"}"


def of_listening(path, accept):
    """What both doors of listening have in common."""
    at = lambda query: f"{path}?{query}"
    return [
        get("one subject", at("subject=/a"), 200),
        get("subjects and wishes", at("queue=5&subject=/a,/b&subject=/c&conflate=1"), 200),
        get("patterns", at("subject=/a/*,/b/**,*"), 200),
        get("an Accept that fits", at("subject=/a"), 200, headers=(("Accept", f"text/html;q=0.5, {accept}"),)),
        get("an Accept of everything", at("subject=/a"), 200, headers=(("Accept", "*/*"),)),
        get("a parameter that nobody knows", at("subject=/a&new=1"), 200),
        get("UTF-8 that is not encoded", at("subject=/ü").encode(), 200),
        get(
            "a page of a friend",
            at("subject=/a"),
            200,
            headers=(("Origin", FRIEND),),
            told=(("Access-Control-Allow-Origin", FRIEND),),
        ),
        get("a page of the server itself", at("subject=/a"), 200, headers=(("Origin", "https://example.org"),)),
        get(
            "a page of the server itself, port and all",
            at("subject=/a"),
            200,
            headers=(("Host", "example.org:8443"), ("Origin", "https://example.org:8443")),
        ),
        get("a key in the head", at("subject=/secret/a"), 200, headers=(BEARER,)),
        get("a key in the query", at(f"subject=/secret/a&key={SECRET}"), 200),
        get("no subject", path, 400, "subject"),
        get("an empty subject", at("subject="), 400, "subject"),
        get("a subject that is too long", at("subject=" + 257 * "a"), 400, "subject", 256),
        get("too many subjects", at("subject=" + ",".join(map(str, range(129)))), 400, "subject", 128),
        get("a star within a segment", at("subject=/a*"), 400, "subject"),
        get("stars before the end", at("subject=/**/a"), 400, "subject"),
        get("too many stars", at("subject=" + 9 * "/*"), 400, "subject", 8),
        get("a queue of nothing", at("subject=/a&queue=0"), 400, "queue"),
        get("a queue that is no number", at("subject=/a&queue=-1"), 400, "queue"),
        get("a switch that is none", at("subject=/a&conflate=yes"), 400, "conflate"),
        get("a parameter that is not UTF-8", at("subject=%FF"), 400),
        get("a half character", at("subject=/a&%C3=1"), 400),
        get("too many parameters", at("subject=/a" + 256 * "&a"), 400, None, 256),
        get("no key", at("subject=/secret/a"), 401, "Authorization", told=(("WWW-Authenticate", None),)),
        get(
            "an unknown key",
            at("subject=/a"),
            401,
            "Authorization",
            headers=(("Authorization", "Bearer nobody-knows-this-one"),),
            told=(("WWW-Authenticate", None),),
        ),
        get("a key without the right", at("subject=/secret/a"), 403, "subject", headers=(OTHER,)),
        get("what nobody may", at("subject=/closed/a"), 403, "subject", headers=(BEARER,)),
        get("a page of another site", at("subject=/a"), 403, "Origin", headers=(("Origin", "https://evil.example"),)),
        get("a page of nowhere", at("subject=/a"), 403, "Origin", headers=(("Origin", "null"),)),
        get(
            "a page of another port", at("subject=/a"), 403, "Origin", headers=(("Origin", "https://example.org:8443"),)
        ),
        get("an Accept of something else", at("subject=/a"), 406, "Accept", headers=(("Accept", "text/html"),)),
        get("an Accept that refuses", at("subject=/a"), 406, "Accept", headers=(("Accept", f"{accept};q=0, */*"),)),
        *(
            Case(f"the method {method}", method, at("subject=/a"), 405, told=(("Allow", LISTEN),))
            for method in ("POST", "PUT", "DELETE", "PATCH", "BREW")
        ),
        Case("HEAD", "HEAD", at("subject=/a"), 200, told=(("Content-Type", accept),)),
        Case("HEAD without a subject", "HEAD", path, 400),
        Case("HEAD from another site", "HEAD", at("subject=/a"), 403, headers=(("Origin", "https://evil.example"),)),
        Case("OPTIONS", "OPTIONS", path, 204, told=(("Allow", LISTEN), ("Access-Control-Allow-Methods", ""))),
        Case(
            "the preflight of a friend",
            "OPTIONS",
            path,
            204,
            headers=(
                ("Origin", FRIEND),
                ("Access-Control-Request-Method", "GET"),
                ("Access-Control-Request-Headers", "authorization"),
            ),
            told=(
                ("Access-Control-Allow-Origin", FRIEND),
                ("Access-Control-Allow-Methods", "GET, HEAD"),
                ("Access-Control-Allow-Headers", "authorization"),
            ),
        ),
        Case(
            "the preflight of another site",
            "OPTIONS",
            path,
            204,
            headers=(("Origin", "https://evil.example"), ("Access-Control-Request-Method", "GET")),
            told=(("Access-Control-Allow-Origin", ""), ("Access-Control-Allow-Methods", "")),
        ),
        get(
            "HTTP/1.0",
            at("subject=/a"),
            200,
            version="HTTP/1.0",
            told=(("Transfer-Encoding", ""), ("Connection", "close")),
        ),
        get("HTTP/1.0, refused", path, 400, "subject", version="HTTP/1.0", told=(("Connection", "close"),)),
        get("no Host", at("subject=/a"), 400, headers=(("Host", None),)),
        get("too many fields", at("subject=/a"), 431, "headers", 64, headers=64 * (("X", "y"),)),
        get("bytes that are no text", at("subject=").encode() + b"\xff", 400, text=True),
        get("a line that is too long", at("subject=/a&x=" + 8192 * "x"), 414, text=True),
    ]


LISTENING = [
    *of_listening("/v1/sse", "text/event-stream"),
    get("heartbeats that programs see", "/v1/sse?subject=/a&heartbeat=event", 200),
    get("heartbeats of a kind that nobody knows", "/v1/sse?subject=/a&heartbeat=1", 400, "heartbeat"),
    get("names in the data", "/v1/sse?subject=/a&names=data", 200),
    get("names elsewhere", "/v1/sse?subject=/a&names=id", 400, "names"),
    get("padding", "/v1/sse?subject=/a&pad=16384", 200),
    get("too much padding", "/v1/sse?subject=/a&pad=16385", 400, "pad", 16384),
    get("padding that is no number", "/v1/sse?subject=/a&pad=1k", 400, "pad", 16384),
    *of_listening("/v1/poll", "application/json"),
    get("a wait that is too long", f"/v1/poll?session={UNKNOWN}&wait=301", 400, "wait", 300),
    get("a wait that is no number", f"/v1/poll?session={UNKNOWN}&wait=1s", 400, "wait", 300),
    get("session and subject", f"/v1/poll?session={UNKNOWN}&subject=/a", 400, "subject"),
    get("an unknown session", f"/v1/poll?session={UNKNOWN}", 404, "session"),
    get("no id at all", "/v1/poll?session=", 404, "session"),
    get("an unknown door", "/v1/nothing", 404),
    get("an unknown door below a door", "/v1/sse/?subject=/a", 404),
    post("an unknown door to post to", item(), 404, target="/v1/"),
]

PUBLISHING = [
    post("an item", item(), 202),
    post("an item with everything", item(event="alarm", to=UNKNOWN), 202),
    post("an item with many subjects", {"subjects": ["/a", "/b", "/a"], "data": None}, 202),
    post("an item of bytes", {"subject": "/a", "content_type": "image/png", "base64": "AAEC"}, 202),
    post("an item of text", {"subject": "/a", "content_type": "text/plain;charset=utf-8", "data": "hi"}, 202),
    post("an array", [item(), item()], 202),
    post("an array with a bad item", [item(), {}], 202),
    post("the most items", [item()] * 1024, 202),
    post("the data itself", [1, 2], 202, target="/v1/publish?subject=/a&subject=/b&event=x"),
    post("JSON as deep as it may be", nested(64), 202),
    post("an idempotent one", item(), 202, headers=(("Idempotency-Key", "case"),)),
    post("with a key", item(subject="/secret/a"), 202, headers=(BEARER,)),
    post("with a key in the query", item(subject="/secret/a"), 202, target=f"/v1/publish?key={SECRET}"),
    post(
        "from a page of a friend",
        item(),
        202,
        headers=(("Origin", FRIEND),),
        told=(("Access-Control-Allow-Origin", FRIEND),),
    ),
    post("from a page of the server itself", item(), 202, headers=(("Origin", "http://example.org"),)),
    post("by HTTP/1.0", item(), 202, version="HTTP/1.0", told=(("Connection", "close"),)),
    raw("a form", (FORM,), b"subject=/a&data=hi", 202),
    raw("a form of fields", (FORM,), b"subject=/a&x=1&y=2&event=n", 202),
    raw("lines", (LINES,), b'{"subject":"/a","data":1}\n\nnothing\n', 202),
    raw("bytes", (("Content-Type", "image/png"),), b"\0\1", 202, target="/v1/publish?subject=/a"),
    raw("bytes of no type", (), b"\0\1", 202, target="/v1/publish?subject=/a"),
    raw("chunks", (JSON, ("Transfer-Encoding", "chunked")), b'19\r\n{"subject":"/a","data":1}\r\n0\r\n\r\n', 202),
    post("no JSON", b"{", 400, "body"),
    post("nothing", b"", 400, "body"),
    post("no UTF-8", b'{"subject":"/a","data":"\xff"}', 400, "body"),
    post("no item", 1, 400, "body"),
    post("an empty array", [], 400, "body"),
    post("an array of bad items", [{}, 1], 400),
    post("an item without a subject", {"data": 1}, 400, "subject"),
    post("an item without data", {"subject": "/a"}, 400, "data"),
    post("subject and subjects", item(subjects=["/b"]), 400, "subjects"),
    post("no subjects", {"subjects": [], "data": 1}, 400, "subject"),
    post("too many subjects", {"subjects": list(map(str, range(129))), "data": 1}, 400, "subjects", 128),
    post("a subject that is too long", item(subject=129 * "ü"), 400, "subject", 256),
    post("a member that nobody knows", item(p_from="me"), 400, "body"),
    post("a name with a line end", item(event="a\nid: 1"), 400, "event"),
    post("a name with a line separator", item(event="a\u2028b"), 400, "event"),
    post("an empty name", item(event=""), 400, "event"),
    post("a name that is too long", item(event=65 * "x"), 400, "event", 64),
    *(
        post(f"the name {name}", item(event=name), 400, "event")
        for name in ("session", "reset", "heartbeat", "end", "open", "error", "message")
    ),
    post("a receiver that is no address", item(to="me"), 400, "to"),
    post("data and base64", item(base64="AA=="), 400, "base64"),
    post("base64 of no type", {"subject": "/a", "base64": "AA=="}, 400, "content_type"),
    post("base64 that is none", {"subject": "/a", "content_type": "a/b", "base64": "A"}, 400, "base64"),
    post("a type that is none", {"subject": "/a", "content_type": "png", "data": ""}, 400, "content_type", 255),
    post(
        "a type with a line end", {"subject": "/a", "content_type": "a/b\r\nx: y", "data": ""}, 400, "content_type", 255
    ),
    post("a type of data that is no text", {"subject": "/a", "content_type": "a/b", "data": 1}, 400, "data"),
    post("JSON that is too deep", nested(65), 400, "data", 64),
    post("JSON of nothing but depth", 100_000 * b"[", 400, "body"),
    post("data of nothing but depth", 100_000 * b"[", 400, "body", 64, target="/v1/publish?subject=/a"),
    post("a parameter that is not UTF-8", item(), 400, target="/v1/publish?subject=%FF"),
    post("a key that is too long", item(), 400, "Idempotency-Key", 255, (("Idempotency-Key", 256 * "k"),)),
    post("an unknown session that publishes", item(), 404, "session", target=f"/v1/publish?session={UNKNOWN}"),
    post("a key with a blank", item(), 400, "Idempotency-Key", 255, (("Idempotency-Key", "a b"),)),
    raw("a reserved field", (FORM,), b"subject=/a&p_id=1", 400, "body"),
    raw("a form that is not UTF-8", (FORM,), b"subject=/a&data=%FF", 400),
    raw("a form without a subject", (FORM,), b"data=1", 400, "subject"),
    raw("nothing but bad lines", (LINES,), b"1\n{}\n", 400),
    raw("no lines", (LINES,), b"\n\n", 400, "body"),
    raw("lines with a key", (LINES, ("Idempotency-Key", "k")), b'{"subject":"/a","data":1}\n', 400, "Idempotency-Key"),
    raw("a chunk that is none", (JSON, ("Transfer-Encoding", "chunked")), b"zz\r\n", 400),
    post("no Host", item(), 400, headers=(("Host", None),)),
    post("no key", item(subject="/secret/a"), 401, "Authorization", told=(("WWW-Authenticate", None),)),
    post(
        "an unknown key",
        item(),
        401,
        "Authorization",
        headers=(("Authorization", "Bearer nobody-knows-this-one"),),
        told=(("WWW-Authenticate", None),),
    ),
    post("a key without the right", item(subject="/secret/a"), 403, "subject", headers=(OTHER,)),
    post("what nobody may", item(subject="/closed/a"), 403, "subject", headers=(BEARER,)),
    post("a subject of the server", item(subject="$server/figures"), 403, "subject"),
    post("from a page of another site", item(), 403, "Origin", headers=(("Origin", "https://evil.example"),)),
    raw("from a form of another site", (FORM, ("Origin", "https://evil.example")), b"subject=/a&data=1", 403, "Origin"),
    *(
        Case(f"the method {method}", method, "/v1/publish", 405, told=(("Allow", "POST, OPTIONS"),))
        for method in ("GET", "HEAD", "PUT", "DELETE")
    ),
    post("an Accept of something else", item(), 406, "Accept", headers=(("Accept", "text/html"),)),
    raw("no length", (JSON,), b"", 411, "Content-Length", length=False),
    post("too many items", [item()] * 1025, 413, "body", 1024),
    post("too long", b'"' + 262_144 * b"x", 413, "body", 262_144),
    raw(
        "chunks that are too long",
        (JSON, ("Transfer-Encoding", "chunked")),
        b"40001\r\n" + 0x40001 * b"x",
        413,
        "body",
        262_144,
    ),
    raw("a line that is too long", (LINES,), 262_145 * b"x", 413, "body", 262_144),
    post("compressed", b"\x1f\x8b", 415, "Content-Encoding", headers=(("Content-Encoding", "gzip"),)),
    raw("a type that needs a subject", (("Content-Type", "image/png"),), b"\0", 415, "Content-Type"),
    raw("no type", (), b"x", 415, "Content-Type"),
    Case("OPTIONS", "OPTIONS", "/v1/publish", 204, told=(("Allow", "POST, OPTIONS"),)),
    Case(
        "the preflight of a friend",
        "OPTIONS",
        "/v1/publish",
        204,
        headers=(
            ("Origin", FRIEND),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type,idempotency-key"),
        ),
        told=(
            ("Access-Control-Allow-Origin", FRIEND),
            ("Access-Control-Allow-Headers", "content-type,idempotency-key"),
        ),
    ),
    Case(
        "the preflight of another site",
        "OPTIONS",
        "/v1/publish",
        204,
        headers=(("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")),
        told=(("Access-Control-Allow-Origin", ""),),
    ),
    post("too many fields", item(), 431, "headers", 64, headers=64 * (("X", "y"),)),
    raw("a line that is too long", (), b"", 414, target="/v1/publish?subject=/a&x=" + 8192 * "x", text=True),
    raw("a transfer coding that nobody knows", (JSON, ("Transfer-Encoding", "gzip, chunked")), b"", 501),
]


def of_amending(path):
    """What both doors have in common that change the subjects of a session; test_ws_sessions.py has what needs one."""
    at = lambda query: f"{path}?{query}"
    ask = lambda name, target, status, field=None, limit=None, headers=(), **more: Case(
        name, "POST", target, status, field, limit, headers, **more
    )
    return [
        ask("nothing", path, 400, "session"),
        ask("no session", at("subject=/a"), 400, "session"),
        ask("no subject", at(f"session={UNKNOWN}"), 400, "subject"),
        ask("no number", at(f"session={UNKNOWN}&subject=/a&queue=x"), 400, "queue"),
        ask("no UTF-8", at(f"session={UNKNOWN}&subject=%FF"), 400),
        ask("an unknown session", at(f"session={UNKNOWN}&subject=/a"), 404, "session"),
        ask("no id at all", at("session=&subject=/a"), 404, "session"),
        ask(
            "an unknown key",
            at(f"session={UNKNOWN}&subject=/a&key=nobody-knows-this-one"),
            401,
            "Authorization",
            told=(("WWW-Authenticate", None),),
        ),
        ask(
            "a page of another site",
            at(f"session={UNKNOWN}&subject=/a"),
            403,
            "Origin",
            headers=(("Origin", "https://evil.example"),),
        ),
        ask("too many fields", at(f"session={UNKNOWN}&subject=/a"), 431, "headers", 64, headers=64 * (("X", "y"),)),
        ask("a line that is too long", at("subject=/a&x=" + 8192 * "x"), 414, text=True),
        *(
            Case(
                f"the method {method}",
                method,
                at(f"session={UNKNOWN}&subject=/a"),
                405,
                told=(("Allow", "POST, OPTIONS"),),
            )
            for method in ("GET", "HEAD", "PUT", "DELETE")
        ),
        Case("OPTIONS", "OPTIONS", path, 204, told=(("Allow", "POST, OPTIONS"),)),
    ]


AMENDING = of_amending("/v1/subscribe") + of_amending("/v1/unsubscribe")
CASES = LISTENING + PUBLISHING + AMENDING
# Provoked by tests of their own, with more than one request: see test_strict.py and test_ws_*.py.
IN_TESTS = {
    ("post /v1/subscribe", 204),
    ("post /v1/unsubscribe", 204),
    ("post /v1/subscribe", 503),
    ("post /v1/unsubscribe", 503),
    ("get /v1/ws", 503),
    ("get /v1/sse", 503),
    ("get /v1/poll", 503),
    ("post /v1/publish", 503),
    ("post /v1/publish", 408),
    ("post /v1/publish", 409),
    ("post /v1/publish", 422),
    ("post /v1/publish", 429),
}
