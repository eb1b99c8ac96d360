"""Frames (RFC 6455 section 5): each wrong one ends the WebSocket with its code, whatever comes in whatever pieces, and
nobody else notices."""

import dataclasses
import os
import select
import socket
import time
import zlib

import pytest

from http_client import Poller, publish
from server import SOON_S, Server, wait_for
from web import (
    BINARY,
    CLOSE,
    CONTINUE,
    FIN,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    Frame,
    Web,
    closing,
    frame,
    text,
)

MESSAGE_MAX = 262_144
HEARTBEAT_S = 1.0
# docs/ws.md, life signs: a heartbeat and a half, then a Ping, then another heartbeat.
SILENCE_S = 2.5 * HEARTBEAT_S
# What a busy server may take for moments: buffers of reads and writes, answers under way. A flood is far more.
FLOOD_BYTES = 24 << 20
GROWTH_MAX = 8 << 20


@dataclasses.dataclass(frozen=True)
class Bad:
    name: str
    data: bytes
    code: int


def publication(length, subject="/bound"):
    """A request of so many bytes."""
    bare = f'{{"type":"publish","id":1,"subject":"{subject}","data":""}}'
    return bare.replace('""', '"' + (length - len(bare)) * "x" + '"').encode()


def fragments(*pieces, kind=TEXT):
    last = len(pieces) - 1
    return b"".join(frame(CONTINUE if at else kind, piece, fin=at == last) for at, piece in enumerate(pieces))


UMLAUT = '{"type":"ü"}'.encode()
BAD = [
    Bad("a frame without a mask", frame(TEXT, b"{}", mask=None), 1002),
    Bad("a Ping without a mask", frame(PING, mask=None), 1002),
    Bad("a Close without a mask", frame(CLOSE, mask=None), 1002),
    *(Bad(f"the reserved bit {bit:#x}", frame(TEXT, b"{}", reserved=bit), 1002) for bit in (RSV1, RSV2, RSV3)),
    *(Bad(f"the reserved bit {bit:#x} of a Ping", frame(PING, reserved=bit), 1002) for bit in (RSV1, RSV2, RSV3)),
    *(Bad(f"the opcode {opcode}", frame(opcode, b"{}"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    *(
        Bad(f"the control frame {opcode} in fragments", frame(opcode, fin=False), 1002)
        for opcode in (CLOSE, PING, PONG)
    ),
    *(
        Bad(f"the control frame {opcode} of 126 bytes", frame(opcode, 126 * b"x"), 1002)
        for opcode in (CLOSE, PING, PONG)
    ),
    Bad("a Ping of 64 KiB", frame(PING, 65536 * b"x"), 1002),
    Bad("a length of 5 in 16 bits", frame(TEXT, b"hello", form=16), 1002),
    Bad("a length of 125 in 16 bits", frame(PING, 125 * b"x", form=16), 1002),
    Bad("a length of 5 in 64 bits", frame(TEXT, b"hello", form=64), 1002),
    Bad("a length of 65,535 in 64 bits", frame(TEXT, 65535 * b"x", form=64), 1002),
    Bad("a length that is negative", frame(TEXT, length=1 << 63, form=64), 1002),
    Bad("a continuation of nothing", frame(CONTINUE, b"{}"), 1002),
    Bad("a last continuation of nothing behind a message", fragments(b"{", b"}") + frame(CONTINUE, b"{}"), 1002),
    Bad("a message within another one", frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
    Bad("bytes within a text", frame(TEXT, b"{", fin=False) + frame(BINARY, b"}"), 1002),
    Bad("a text that is not UTF-8", frame(TEXT, b'{"type":"\xff"}'), 1007),
    Bad("a text in Latin-1", frame(TEXT, '{"type":"ü"}'.encode("latin-1")), 1007),
    Bad("half a surrogate pair", frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    Bad("a character in too many bytes", frame(TEXT, b'"\xc0\xaf"'), 1007),
    Bad("a character beyond the last", frame(TEXT, b'"\xf4\x90\x80\x80"'), 1007),
    Bad("a text that ends within a character", frame(TEXT, b'"\xc3'), 1007),
    Bad("a character that is wrong over two fragments", fragments(b'"\xc3', b'\x28"'), 1007),
    Bad("a character that never ends, over two fragments", fragments(b'"\xe2\x82', b'"'), 1007),
    Bad("a wrong byte before the end of the message", frame(TEXT, b'"\xff', length=100_000, form=64), 1007),
    Bad("a wrong byte before the last fragment", frame(TEXT, b'"\xff', fin=False), 1007),
    Bad("bytes", frame(BINARY, b"{}"), 1003),
    Bad("no bytes", frame(BINARY), 1003),
    Bad("bytes in fragments", fragments(b"{", b"}", kind=BINARY), 1003),
    Bad("a frame of one byte too many", frame(TEXT, publication(MESSAGE_MAX + 1)), 1009),
    Bad("fragments of one byte too many", fragments(publication(MESSAGE_MAX), b" "), 1009),
    Bad("a frame that announces too much", frame(TEXT, length=MESSAGE_MAX + 1), 1009),
    Bad("a frame that announces nearly everything", frame(TEXT, length=(1 << 63) - 1, form=64), 1009),
    Bad("a fragment that announces too much", frame(TEXT, b"x", fin=False) + frame(CONTINUE, length=MESSAGE_MAX), 1009),
    Bad("bytes that are too many", frame(BINARY, length=MESSAGE_MAX + 1), 1009),
    Bad("a Close of one byte", frame(CLOSE, b"\x03"), 1002),
    Bad("a Close with a reason that is not UTF-8", frame(CLOSE, closing(1000) + b"\xff"), 1007),
    *(
        Bad(f"a Close with the code {code}", frame(CLOSE, closing(code)), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
]


def deflated(payload):
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


BOMB = deflated(b'"' + 50_000_000 * b"x" + b'"')
BAD_DEFLATED = [
    Bad("bytes that are not deflated", frame(TEXT, b"\xff\xff\xff", reserved=RSV1), 1007),
    Bad("deflated text that is not UTF-8", frame(TEXT, deflated(b'"\xff"'), reserved=RSV1), 1007),
    Bad("deflated bytes", frame(BINARY, deflated(b"{}"), reserved=RSV1), 1003),
    Bad("a compressed Ping", frame(PING, deflated(b"x"), reserved=RSV1), 1002),
    Bad(
        "a compressed continuation", frame(TEXT, b"{", fin=False) + frame(CONTINUE, deflated(b"}"), reserved=RSV1), 1002
    ),
    Bad("a reserved bit beside", frame(TEXT, deflated(b"{}"), reserved=RSV1 | RSV2), 1002),
    Bad("what becomes 50 MB", frame(TEXT, BOMB, reserved=RSV1), 1009),
    Bad("what becomes one byte too many", frame(TEXT, deflated(publication(MESSAGE_MAX + 1)), reserved=RSV1), 1009),
    Bad(
        "what refers to the message before it",
        (
            lambda packer: b"".join(
                frame(TEXT, (packer.compress(b'{"type":"ping"}') + packer.flush(zlib.Z_SYNC_FLUSH))[:-4], reserved=RSV1)
                for _ in range(2)
            )
        )(zlib.compressobj(wbits=-15)),
        1007,
    ),
]


def name_of(case):
    return case.name


class Silent:
    """A client that opens and then says nothing, for as long as all tests of this file take."""

    def __init__(self, port):
        self.began = time.monotonic()
        self.web = Web(port, "subject=/silent&heartbeat=event", answers=False)


@pytest.fixture(scope="module")
def server():
    with Server("--heartbeat", f"{HEARTBEAT_S:.0f}s") as server:
        yield server
        assert server.process.poll() is None, server.told()


@pytest.fixture(scope="module", autouse=True)
def silent(server):
    silent = Silent(server.port)
    yield silent
    silent.web.close()


@pytest.fixture(scope="module")
def deflating():
    with Server(config="[http]\nws_deflate = true\n") as server:
        yield server
        assert server.process.poll() is None, server.told()


@pytest.fixture
def web(server):
    with Web(server.port) as web:
        yield web


def fails(web, data, code):
    """Sends what is wrong: a Close frame with the code and a reason is all that comes, and then the end."""
    web.send(data)
    heard, close = web.end()
    assert close.code == code and close.reason, close
    assert all(found["type"] == "nack" for found in heard), heard
    assert web.wire.rest() == b""


@pytest.mark.parametrize("case", BAD, ids=name_of)
def test_each_bad_frame_ends_the_connection(case, web):
    fails(web, case.data, case.code)


@pytest.mark.parametrize("case", BAD_DEFLATED, ids=name_of)
def test_each_bad_compressed_frame_ends_the_connection(case, deflating):
    with Web(deflating.port, headers=(("Sec-WebSocket-Extensions", "permessage-deflate"),)) as web:
        web.send(case.data)
        _, close = web.end()
        assert close.code == case.code and close.reason, close
        assert web.wire.rest() == b""


def test_a_session_ends_with_a_bad_frame(server, web):
    before = server.metric("sessions")
    fails(web, frame(3), 1002)
    server.wait_metric("sessions", before - 1)


def test_the_pieces_do_not_matter(server):
    """Each byte by itself, header and mask and payload."""
    for case in BAD:
        if len(case.data) < 100:
            with Web(server.port) as web:
                web.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    for byte in case.data:
                        web.send(bytes([byte]))
                except OSError:
                    pass  # it has heard enough
                try:
                    _, close = web.end()
                except OSError:
                    continue  # what it did not read took its answer with it
                assert close.code == case.code, case.name


def test_what_is_whole_is_answered_before_what_is_wrong(web):
    web.send(text({"type": "ping", "id": 1}) + frame(PING, b"x") + text({"type": "ping", "id": 2}) + frame(3))
    assert web.message()["id"] == 1
    assert web.frame() == (PONG, b"x") or True
    assert web.message()["id"] == 2
    assert web.end()[1].code == 1002


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
)
def test_a_close_is_answered_in_kind(code, server, web):
    web.send(frame(CLOSE, closing(code, "ende")) + text({"type": "ping", "id": "too late"}))
    heard, close = web.end()
    assert (heard, close.code) == ([], code)
    assert web.wire.rest() == b""


def test_a_close_without_a_code_is_answered_without_one(web):
    web.send(frame(CLOSE))
    assert web.end() == ([], Frame(CLOSE, b""))
    assert web.wire.rest() == b""


def test_a_close_within_a_message_is_answered(web):
    web.send(frame(TEXT, b'{"type":', fin=False) + frame(CLOSE, closing(1001)))
    assert web.end()[1].code == 1001


@pytest.mark.parametrize("length", [0, 1, 124, 125])
def test_a_ping_gets_its_payload_back(length, web):
    payload = os.urandom(length)
    web.send(frame(PING, payload))
    found = web.frame()
    while found.opcode == PING:
        found = web.frame()
    assert (found.opcode, found.payload) == (PONG, payload)


def test_a_pong_that_nobody_asked_for_is_none_of_our_business(web):
    web.send(frame(PONG, b"hello") + frame(PONG) + text({"type": "ping", "id": 1}))
    assert web.message()["id"] == 1


@pytest.mark.parametrize(
    "data",
    [
        fragments(b'{"type":"ping"', b',"id":1}'),
        fragments(b"", b'{"type":"ping","id":1}', b"", b""),
        fragments(*(bytes([byte]) for byte in b'{"type":"ping","id":1}')),
        frame(TEXT, b'{"type":"pi', fin=False) + frame(PING, b"within") + frame(PONG) + frame(CONTINUE, b'ng","id":1}'),
        frame(TEXT, b'{"type":"ping","id":1}', mask=bytes(4)),
        frame(TEXT, b'{"type":"ping","id":1}', mask=b"\xff\xff\xff\xff"),
        frame(TEXT, b'{"type":"ping","id":1}' + 200 * b" "),
        frame(TEXT, 70_000 * b" " + b'{"type":"ping","id":1}'),
    ],
    ids=[
        "two",
        "with empty ones",
        "of a byte",
        "with control frames between",
        "masked by nothing",
        "masked by ones",
        "16 bits",
        "64 bits",
    ],
)
def test_a_message_may_be_cut_and_masked_as_you_like(data, web):
    web.send(data)
    assert web.message() == {"type": "pong", "id": 1, "time": pytest.approx(time.time(), abs=60)}


def test_a_character_may_lie_in_two_fragments(server, web):
    listener = Poller(server.port, "subject=/cut")
    word = "ü€𝄞".encode()
    for at in range(1, len(word)):
        before, after = b'{"type":"publish","id":1,"subject":"/cut","data":"' + word[:at], word[at:] + b'"}'
        web.send(fragments(before, after))
        assert web.message()["type"] == "ack"
    assert [event["data"] for event in listener.events()] == 8 * ["ü€𝄞"]


@pytest.mark.parametrize("cut", [1, 2, 131_072])
def test_a_message_may_be_as_long_as_the_bound(cut, server, web):
    """An event has to fit into the bound for publishing as well, so it is mostly blanks."""
    whole = b'{"type":"ping","id":1}'.ljust(MESSAGE_MAX)
    size = len(whole) // cut
    web.send(fragments(*(whole[at : at + size] for at in range(0, len(whole), size))))
    assert web.message()["id"] == 1


def test_the_bound_is_a_setting():
    with Server(config='[http]\nws_message_max = "2KiB"\n') as server, Web(server.port) as web:
        assert web.first["message_max"] == 2048
        web.send(frame(TEXT, b'{"type":"ping","id":1}'.ljust(2048)))
        assert web.message()["id"] == 1
        web.send(frame(TEXT, length=2049))
        assert web.end()[1].code == 1009


# Floods


def rss(server):
    """Memory of the server, in bytes."""
    with open(f"/proc/{server.process.pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))


def flood(server, web, piece):
    """Sends much without reading. Says how many bytes went out, what the last piece lacks, and how much the server grew."""
    before, most, sent, rest = rss(server), 0, 0, b""
    web.socket.setblocking(False)
    with Web(server.port) as other:
        while sent < FLOOD_BYTES:
            if not rest:
                rest = piece * (65536 // len(piece))
            # Who gets nothing out for so long is not read any more.
            if not select.select([], [web.socket], [], 0.5)[1]:
                break
            sent += (count := web.socket.send(rest))
            rest = rest[count:]
            if sent >> 20 != (sent - count) >> 20:
                assert other.ask({"type": "ping", "id": sent})["id"] == sent
                most = max(most, rss(server))
        # Others are served.
        assert other.ask({"type": "ping", "id": "at the end"})["id"] == "at the end"
    most = max(most, rss(server))
    web.socket.settimeout(SOON_S)
    return sent, rest[: len(rest) % len(piece)], most - before


@pytest.mark.parametrize(
    ("piece", "answers"),
    [
        (frame(PING, 125 * b"p"), 1),
        (text({"type": "ping", "id": 60 * "p", "subject": 200 * "x"}), 1),
        (text(200 * "x"), 1),
        (text([{"type": "ping"}] * 100), 100),
    ],
    ids=["Pings", "bad requests", "no JSON", "arrays of requests"],
)
def test_a_flood_is_read_no_faster_than_its_answers(piece, answers, server):
    """Who takes no answers is not read: the server holds few of them, and serves others meanwhile. None is forgotten."""
    with Web(server.port) as web:
        sent, rest, growth = flood(server, web, piece)
        assert growth < GROWTH_MAX, f"{growth >> 20} MiB more for {sent >> 20} MiB that came"
        assert sent < FLOOD_BYTES, "it was never told to wait"
        heard = 0
        whole = sent // len(piece)
        while heard < whole * answers:
            found = web.frame()
            heard += found.opcode == (PONG if piece[0] == FIN | PING else TEXT)
        web.send(rest + text({"type": "ping", "id": "last"}))
        while found.opcode != TEXT or b'"last"' not in found.payload:
            found = web.frame()
            heard += found.opcode == (PONG if piece[0] == FIN | PING else TEXT)
        assert heard == (whole + bool(rest)) * answers + (piece[0] != FIN | PING)


def test_events_for_who_does_not_read_end_in_queue_full(server):
    """P-30: more than the queue holds, and then an end that says so, if the client ever looks."""
    with Web(server.port, "subject=/flood") as web:
        data = 2000 * "x"
        before = server.metric("sessions")
        wait_for(
            "queue full",
            lambda: (
                publish(server.port, 50 * [{"subject": "/flood", "data": data}]) and server.metric("sessions") < before
            ),
        )
        heard, close = web.end()
        assert close.code == 4004 and close.reason, close
        assert heard[-1]["type"] == "end" and heard[-1]["reason"] == "queue-full" and heard[-1]["action"] == "rejoin"
        assert 0 < heard[-1]["retry_ms"] <= 5000
        assert all(event["subject"] == "/flood" for event in heard[:-1])


# Ends of connections


def ends(server, act):
    before = server.metric("sessions")
    web = Web(server.port, "subject=/ends")
    server.wait_metric("sessions", before + 1)
    act(web)
    server.wait_metric("sessions", before)
    web.close()


def test_a_connection_that_is_closed_ends_its_session(server):
    ends(server, Web.close)


def test_a_connection_that_is_reset_ends_its_session(server):
    ends(server, Web.reset)


def test_a_connection_that_is_half_closed_ends_its_session(server):
    """RFC 6455 section 7.1.1: there is no half of a WebSocket."""

    def act(web):
        web.socket.shutdown(socket.SHUT_WR)
        assert web.wire.rest() == b""

    ends(server, act)


def test_requests_before_the_end_of_a_connection_are_carried_out(server):
    listener = Poller(server.port, "subject=/last-words")
    with Web(server.port) as web:
        web.say(*({"type": "publish", "subject": "/last-words", "data": number} for number in range(100)))
        web.socket.shutdown(socket.SHUT_WR)
        web.wire.rest()
    heard = []
    wait_for(lambda: heard, lambda: heard.extend(listener.events()) or len(heard) == 100)
    assert [event["data"] for event in heard] == list(range(100))


def test_a_client_that_says_nothing_is_gone_after_its_deadline(server, silent):
    """docs/ws.md, life signs. The client of this test began with the first test of the file."""
    living = Web(server.port, "subject=/living&heartbeat=event")
    assert living.message() == {"type": "heartbeat"}
    heard, close = silent.web.end()
    took = time.monotonic() - silent.began
    assert close.code == 4003 and close.reason, close
    assert took >= SILENCE_S - 0.5
    assert heard[-1] == {**heard[-1], "type": "end", "reason": "not-alive", "action": "rejoin"}
    assert {found["type"] for found in heard[:-1]} == {"heartbeat"}
    # So long it lived: a heartbeat for each second.
    assert 1 <= len(heard) - 1 <= 4, heard
    living.close()
