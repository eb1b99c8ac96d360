"""A WebSocket as bytes, so that it can be wrong: handshakes, frames and messages of a client that does what the test says.

It shares no code with the server and none with another WebSocket library; those are in test_ws_interop.py.
"""

import base64
import collections
import dataclasses
import hashlib
import json
import os
import socket
import struct

from server import SOON_S
from wire import Wire, request

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUE, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
# The fields of a handshake, in the order in which browsers send them.
HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
)


def accept_key(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def handshake(query="", headers=(), without=(), **more):
    """The bytes of a handshake: `headers` take the place of fields with their names, a value of None leaves a field out."""
    given = {name.lower() for name, _ in headers} | {name.lower() for name in without}
    fields = [field for field in HANDSHAKE if field[0].lower() not in given]
    target = "/v1/ws" + (f"?{query}" if query else "")
    return request("GET", target, (*fields, *headers), **more)


def frame(opcode, payload=b"", fin=True, reserved=0, mask=b"\x01\x9f\x20\x77", length=None, form=None):
    """The bytes of a frame. `mask` of None leaves it unmasked, `length` announces another one than that of the payload, and `form` (7, 16 or
    64) is the number of bits that say it."""
    length = len(payload) if length is None else length
    form = form or (7 if length < 126 else 16 if length < 65536 else 64)
    head = bytes([(FIN if fin else 0) | reserved | opcode])
    masked = 0 if mask is None else 0x80
    head += {
        7: lambda: bytes([masked | length]),
        16: lambda: bytes([masked | 126]) + struct.pack(">H", length),
        64: lambda: bytes([masked | 127]) + struct.pack(">Q", length),
    }[form]()
    if mask is None:
        return head + payload
    number = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)])
    return head + mask + (int.from_bytes(payload) ^ number).to_bytes(len(payload))


def text(value):
    """A message as one frame. A value that is no string is written as JSON."""
    return frame(TEXT, (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode())


def closing(code, reason=""):
    return struct.pack(">H", code) + reason.encode()


@dataclasses.dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes
    reserved: int = 0

    @property
    def code(self):
        """The code of a Close frame, or None."""
        assert self.opcode == CLOSE, self
        return struct.unpack(">H", self.payload[:2])[0] if self.payload else None

    @property
    def reason(self):
        return self.payload[2:].decode()


class Web:
    """A WebSocket that is open. It answers Pings while it waits for something else, unless `answers` is False."""

    def __init__(self, port, query="", headers=(), answers=True, wire=None):
        self.answers = answers
        # One that is given has sent its handshake.
        self.wire = wire or Wire(port)
        if not wire:
            self.wire.send(handshake(query, headers))
        self.head = self.wire.answer(whole=False)
        assert self.head.status == 101, (self.head, self.wire.rest())
        self.waiting = collections.deque()
        self.first = self.message()
        assert self.first["type"] == "session", self.first
        self.session, self.address = self.first["session"], self.first["address"]

    @property
    def socket(self):
        return self.wire.socket

    def send(self, *pieces):
        self.wire.send(*pieces)

    def say(self, *messages):
        """Sends messages, all in one write."""
        self.send(b"".join(map(text, messages)))

    def frame(self):
        """The next frame of the server, which must be as RFC 6455 section 5.2 says."""
        head = self._read(2)
        assert head[0] & FIN, "a frame of the server is final"
        assert not head[1] & 0x80, "a frame of the server is not masked"
        length = head[1]
        if length >= 126:
            form, least = ((">H", 126) if length == 126 else (">Q", 65536))
            (length,) = struct.unpack(form, self._read(struct.calcsize(form)))
            assert length >= least, "the length is in its shortest form"
        opcode = head[0] & 0x0F
        assert opcode in (TEXT, CLOSE, PING, PONG) and (opcode == TEXT or length <= 125), (opcode, length)
        return Frame(opcode, self._read(length), head[0] & (RSV1 | RSV2 | RSV3))

    def _read(self, length):
        found = self.wire.read(length)
        if len(found) < length:
            raise EOFError(f"the connection ended within a frame: {found!r}")
        return found

    def message(self):
        """The next message: of an array, one after the other."""
        while not self.waiting:
            found = self.frame()
            if found.opcode == PING and self.answers:
                self.send(frame(PONG, found.payload))
            elif found.opcode == TEXT:
                assert found.reserved == 0, found
                value = json.loads(found.payload)
                self.waiting.extend(value if isinstance(value, list) else [value])
            else:
                assert found.opcode in (PING, PONG), (found.code, found.reason)
        return self.waiting.popleft()

    def messages(self, number):
        return [self.message() for _ in range(number)]

    def ask(self, value):
        """Sends one request and returns its answer; nothing else may come before it."""
        self.say(value)
        return self.message()

    def until(self, kind):
        """Everything up to the next message of the type."""
        heard = []
        while not heard or heard[-1].get("type") != kind:
            heard.append(self.message())
        return heard

    def until_event(self, subject):
        """Everything up to the next event of the subject."""
        heard = []
        while not heard or heard[-1].get("subject") != subject:
            heard.append(self.message())
        return heard

    def sync(self):
        """Everything that came before the answer to what is sent last. (Events may come later than answers: see until_event.)"""
        self.say({"type": "ping", "id": "sync"})
        heard = []
        while (found := self.message()) != {"type": "pong", "id": "sync", "time": found.get("time")}:
            heard.append(found)
        return heard

    def end(self):
        """The messages before the Close frame, the Close frame, and nothing behind it."""
        heard = list(self.waiting)
        self.waiting.clear()
        while (found := self.frame()).opcode != CLOSE:
            if found.opcode == TEXT:
                heard.append(json.loads(found.payload))
        return heard, found

    def leave(self):
        """Closes as RFC 6455 section 7.1.2 says, and waits for the end of the connection."""
        self.send(frame(CLOSE, closing(1000)))
        _, found = self.end()
        assert found.code == 1000, found
        assert self.wire.rest() == b""
        self.close()

    def close(self):
        self.wire.close()

    def reset(self):
        """Ends the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
