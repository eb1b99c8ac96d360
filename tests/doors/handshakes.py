"""Handshakes of /v1/ws (RFC 6455 section 4.2), good and bad, and what a server with the CONFIG of cases.py answers."""

import dataclasses

from cases import BEARER, FRIEND, OTHER, SECRET
from web import HANDSHAKE, KEY, handshake
from wire import request

NONCE = "AQIDBAUGBwgJCgsMDQ4PEA=="


@dataclasses.dataclass(frozen=True)
class Handshake:
    """A handshake, and the status, the `field` and the `limit` of its answer."""

    name: str
    data: bytes
    status: int = 101
    field: str | None = None
    limit: int | None = None
    # Fields of the answer's head; None: it is there, "": it is not.
    told: tuple = ()
    method: str = "GET"
    # Where the request as a whole is not HTTP, the answer is plain text.
    text: bool = False
    # What it asks for, by which docs/openapi.yaml knows it.
    operation: str = "get /v1/ws"

    @property
    def bytes(self):
        return self.data

    @property
    def endless(self):
        return self.status == 101


def good(name, query="", headers=(), told=(), **more):
    return Handshake(name, handshake(query, headers, **more), told=told)


def bad(name, status, field=None, query="", headers=(), told=(), limit=None, text=False, **more):
    if status == 426:
        told = (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"), *told)
    return Handshake(name, handshake(query, headers, **more), status, field, limit, told, text=text)


def other(method, name="", **more):
    target = "/v1/ws"
    return Handshake(
        f"the method {method}{name}",
        request(method, target, HANDSHAKE, **more),
        405,
        told=(("Allow", "GET, OPTIONS"),),
        method=method,
        operation="",
    )


def extension(value):
    return (("Sec-WebSocket-Extensions", value),)


GOOD = [
    good(
        "nothing but what must be", told=(("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Content-Length", ""))
    ),
    good("another key", headers=(("Sec-WebSocket-Key", NONCE),)),
    good("Connection of several", headers=(("Connection", "keep-alive, Upgrade"),)),
    good("Connection in two fields", headers=(("Connection", "keep-alive"), ("Connection", "Upgrade"))),
    good("Connection with empty elements", headers=(("Connection", " ,, upgrade ,"),)),
    good("letter case", headers=(("cOnNeCtIoN", "uPgRaDe"), ("UPGRADE", "WebSocket"), ("sec-websocket-version", "13"))),
    good(
        "the subprotocol",
        headers=(("Sec-WebSocket-Protocol", "pushlet.v1.json"),),
        told=(("Sec-WebSocket-Protocol", "pushlet.v1.json"),),
    ),
    good(
        "the subprotocol among others",
        headers=(("Sec-WebSocket-Protocol", "chat, pushlet.v1.json ,x"),),
        told=(("Sec-WebSocket-Protocol", "pushlet.v1.json"),),
    ),
    good(
        "the subprotocol in a second field",
        headers=(("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Protocol", "pushlet.v1.json")),
        told=(("Sec-WebSocket-Protocol", "pushlet.v1.json"),),
    ),
    good("no subprotocol", told=(("Sec-WebSocket-Protocol", ""),)),
    good(
        "compression that is not switched on",
        headers=extension("permessage-deflate; client_max_window_bits"),
        told=(("Sec-WebSocket-Extensions", ""),),
    ),
    good(
        "an extension that nobody knows",
        headers=extension('x-y; a="b"; c, permessage-bzip2'),
        told=(("Sec-WebSocket-Extensions", ""),),
    ),
    good("an empty list of extensions", headers=extension(" , ")),
    good("an Accept of something else", headers=(("Accept", "text/html"),)),
    good("a body of no bytes", headers=(("Content-Length", "0"),)),
    # As of every GET: it is read to its end and means nothing, so none of it is a frame.
    good("a body", body=b"{}"),
    good("a body in chunks", headers=(("Transfer-Encoding", "chunked"),), body=b"2\r\n{}\r\n0\r\n\r\n"),
    good("subjects and wishes", "queue=5&subject=/a,/b&subject=/c/*&conflate=1"),
    good("a parameter that nobody knows", "subject=/a&new=1"),
    good("pad, which is for others", "pad=x"),
    good("a key in the head", "subject=/secret/a", headers=(BEARER,)),
    good("a key in the query", f"subject=/secret/a&key={SECRET}"),
    good("a page of the server itself", headers=(("Origin", "https://example.org"),)),
    good(
        "a page of a friend",
        headers=(("Origin", FRIEND), ("Sec-Fetch-Site", "cross-site")),
        told=(("Access-Control-Allow-Origin", FRIEND),),
    ),
    good("a page of the same site", headers=(("Origin", "http://example.org"), ("Sec-Fetch-Site", "same-origin"))),
    good("a head of nearly 16 KiB", headers=(("Cookie", 15_800 * "c"),)),
]

BAD = [
    bad("no Upgrade", 426, "Upgrade", without=("Upgrade",)),
    bad("no Connection", 426, "Upgrade", without=("Connection",)),
    bad("a Connection of something else", 426, "Upgrade", headers=(("Connection", "keep-alive"),)),
    bad("a Connection that only looks like it", 426, "Upgrade", headers=(("Connection", "Upgrades"),)),
    bad("an upgrade to something else", 426, "Upgrade", headers=(("Upgrade", "h2c"),)),
    bad("no WebSocket at all", 426, "Upgrade", without=[name for name, _ in HANDSHAKE]),
    Handshake(
        "HTTP/1.0",
        handshake(version="HTTP/1.0"),
        426,
        told=(("Upgrade", "websocket"), ("Connection", "Upgrade, close")),
    ),
    bad("no version", 426, "Sec-WebSocket-Version", without=("Sec-WebSocket-Version",)),
    *(
        bad(f"the version {version!r}", 426, "Sec-WebSocket-Version", headers=(("Sec-WebSocket-Version", version),))
        for version in ("8", "0", "14", "013", "13 ,8", "x", "")
    ),
    bad("no key", 400, "Sec-WebSocket-Key", without=("Sec-WebSocket-Key",)),
    *(
        bad(f"a key that is {name}", 400, "Sec-WebSocket-Key", headers=(("Sec-WebSocket-Key", key),))
        for name, key in (
            ("empty", ""),
            ("too short", "dGhlIHNhbXBsZSBub25j"),
            ("too long", "dGhlIHNhbXBsZSBub25jZWU="),
            ("without its padding", KEY.rstrip("=")),
            ("not Base64", "dGhlIHNhbXBsZSBub25j*Q=="),
            ("in the alphabet of URLs", "_-_-IHNhbXBsZSBub25jZQ=="),
            ("two", f"{KEY}, {NONCE}"),
        )
    ),
    bad("two keys", 400, None, headers=(("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Key", NONCE))),
    bad("the same key twice", 400, None, headers=(("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Key", KEY))),
    bad("two versions", 400, None, headers=(("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "8"))),
    bad("subprotocols of others", 400, "Sec-WebSocket-Protocol", headers=(("Sec-WebSocket-Protocol", "chat, mqtt"),)),
    bad(
        "the subprotocol in capitals",
        400,
        "Sec-WebSocket-Protocol",
        headers=(("Sec-WebSocket-Protocol", "PUSHLET.V1.JSON"),),
    ),
    bad("an extension with a text that is no word", 400, "Sec-WebSocket-Extensions", headers=extension('x-y; a="b,c"')),
    bad("extensions that are no list", 400, "Sec-WebSocket-Extensions", headers=extension("permessage-deflate; =")),
    bad("a page of another site", 403, "Origin", headers=(("Origin", "https://evil.example"),)),
    bad("a page of nowhere", 403, "Origin", headers=(("Origin", "null"),)),
    bad("a page of another port", 403, "Origin", headers=(("Origin", "https://example.org:8443"),)),
    bad(
        "a page of another site without its Origin", 403, "Sec-Fetch-Site", headers=(("Sec-Fetch-Site", "cross-site"),)
    ),
    bad(
        "an unknown key",
        401,
        "Authorization",
        "subject=/a",
        (("Authorization", "Bearer nobody-knows-this-one"),),
        told=(("WWW-Authenticate", None),),
    ),
    bad(
        "an unknown key in the query",
        401,
        "Authorization",
        "key=nobody-knows-this-one",
        told=(("WWW-Authenticate", None),),
    ),
    bad("an unknown key and no subject", 401, "Authorization", headers=(("Authorization", "Bearer nobody-knows-it"),)),
    bad("no key where one is needed", 401, "Authorization", "subject=/secret/a", told=(("WWW-Authenticate", None),)),
    bad("a key without the right", 403, "subject", "subject=/a,/secret/a", (OTHER,)),
    bad("what nobody may", 403, "subject", "subject=/closed/a", (BEARER,)),
    bad("an empty subject", 400, "subject", "subject="),
    bad("a subject that is too long", 400, "subject", "subject=" + 257 * "a", limit=256),
    bad("too many subjects", 400, "subject", "subject=" + ",".join(map(str, range(129))), limit=128),
    bad("a star within a segment", 400, "subject", "subject=/a*"),
    bad("too many stars", 400, "subject", "subject=" + 9 * "/*", limit=8),
    bad("a queue of nothing", 400, "queue", "subject=/a&queue=0"),
    bad("a queue that is no number", 400, "queue", "subject=/a&queue=x"),
    bad("a switch that is none", 400, "conflate", "subject=/a&conflate=yes"),
    bad("heartbeats that are none", 400, "heartbeat", "heartbeat=yes"),
    bad("a parameter that is not UTF-8", 400, None, "subject=%FF"),
    bad("too many parameters", 400, None, "a" + 256 * "&a", limit=256),
    bad("no Host", 400, None, headers=(("Host", None),)),
    bad("two Hosts", 400, None, headers=(("Host", "a"), ("Host", "b"))),
    bad("too many fields", 431, "headers", headers=64 * (("X", "y"),), limit=64),
    bad("a head of more than 16 KiB", 431, "headers", headers=(("Cookie", 16_384 * "c"),), limit=16_384),
    bad("a line that is too long", 414, None, "x=" + 8192 * "x", text=True),
    other("POST"),
    other("PUT"),
    other("DELETE"),
    other("HEAD"),
    other("PATCH"),
    other("BREW"),
    Handshake(
        "the method CONNECT",
        b"CONNECT /v1/ws HTTP/1.1\r\nHost: example.org\r\n\r\n",
        405,
        method="CONNECT",
        told=(("Allow", None),),
        text=True,
        operation="",
    ),
    Handshake(
        "OPTIONS",
        request("OPTIONS", "/v1/ws", HANDSHAKE),
        204,
        method="OPTIONS",
        told=(("Allow", "GET, OPTIONS"),),
        operation="",
    ),
    Handshake("another door", request("GET", "/v1/ws/", HANDSHAKE), 404, operation=""),
    Handshake(
        "a handshake at a door of events",
        request("GET", "/v1/poll?subject=/a", HANDSHAKE),
        200,
        told=(("Upgrade", ""), ("Sec-WebSocket-Accept", "")),
        operation="",
    ),
]
