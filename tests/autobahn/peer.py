"""The client that a case drives: what RFC 6455 makes of a connection, with every freedom to break it when sending, and none for the server."""

import asyncio
import base64
import hashlib
import os
import struct
import types
import zlib

from cases import CLOSED, CLOSING, CONNECTING, OPEN, WebSocketProtocol

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TAIL = b"\x00\x00\xff\xff"
# All times of the suite are for a machine that has nothing else to do.
PATIENCE = 4
CLOSE_HANDSHAKE_S = 1
SERVER_DROP_S = 1


class Broken(Exception):
    """The server breaks the protocol."""


def masked(payload, mask):
    """`payload` with `mask` over it: the whole as one number is the fast way."""
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")


def as_bytes(payload):
    return payload if isinstance(payload, bytes) else payload.encode("latin-1")


def head(opcode, length, fin=True, rsv=0, mask=b""):
    first = (0x80 if fin else 0) | (rsv % 8) << 4 | opcode % 16
    bit = 0x80 if mask else 0
    if length < 126:
        return bytes([first, bit | length]) + mask
    if length < 1 << 16:
        return struct.pack("!BBH", first, bit | 126, length) + mask
    return struct.pack("!BBQ", first, bit | 127, length) + mask


class Compression:
    """permessage-deflate as the server agreed to it (RFC 7692 section 7)."""

    def __init__(self, parameters):
        self.server_keeps = "server_no_context_takeover" not in parameters
        self.client_keeps = "client_no_context_takeover" not in parameters
        self.server_bits = int(parameters.get("server_max_window_bits") or 15)
        self.client_bits = int(parameters.get("client_max_window_bits") or 15)
        self.deflater = self.inflater = None

    def compress(self, payload):
        if self.deflater is None or not self.client_keeps:
            self.deflater = zlib.compressobj(wbits=-self.client_bits)
        blocks = self.deflater.compress(payload) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        return blocks.removesuffix(TAIL)

    def decompress(self, payload):
        if self.inflater is None or not self.server_keeps:
            self.inflater = zlib.decompressobj(wbits=-self.server_bits)
        try:
            return self.inflater.decompress(payload + TAIL)
        except zlib.error as error:
            raise Broken(f"a message cannot be inflated: {error}") from error


class Peer(asyncio.Protocol, WebSocketProtocol):
    """One connection for one case. Names with capitals are what cases call."""

    def __init__(self, case):
        self.loop = asyncio.get_running_loop()
        self.done = self.loop.create_future()
        self.factory = types.SimpleNamespace(isServer=False)
        self.state = CONNECTING
        self.connectionWasOpen = self.wasClean = False
        self.closedByMe = self.failedByMe = self.droppedByMe = False
        self.remoteCloseCode = self.localCloseReason = None
        self.perMessageCompressionOffers = []
        self._perMessageCompress = None
        self.trafficStats = None
        self.txFrameStats = {}
        self.autoFragmentSize = 0
        # What the server did that nobody may do.
        self.broken = None
        self.buffer = bytearray()
        self.needed = 0
        # The message that is coming: opcode, compressed, pieces.
        self.message = None
        # Pieces that go out one by one.
        self.queue, self.sender = [], None
        self.timers = []
        self.case = case(self)
        self.takes_bytes = hasattr(case, "TESTDATA")

    # The connection.

    def connection_made(self, transport):
        self.transport = transport
        self.key = base64.b64encode(os.urandom(16))
        fields = [
            b"GET / HTTP/1.1",
            b"Host: localhost",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: " + self.key,
        ]
        offers = ", ".join(map(str, self.perMessageCompressionOffers))
        if offers:
            fields.append(b"Sec-WebSocket-Extensions: " + offers.encode())
        transport.write(b"\r\n".join([*fields, b"", b""]))

    def data_received(self, data):
        self.buffer += data
        if len(self.buffer) < self.needed or self.broken:
            return
        try:
            if self.state == CONNECTING and not self._shake_hands():
                return
            while self._take_frame():
                pass
        except Broken as broken:
            self.broken = str(broken)
            self.transport.abort()

    def connection_lost(self, _error):
        if self.sender:
            self.sender.cancel()
        for timer in self.timers:
            timer.cancel()
        self.state = CLOSED
        self.case.onConnectionLost(self.failedByMe)
        if not self.done.done():
            self.done.set_result(None)

    def _shake_hands(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        status, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        del self.buffer[: end + 4]
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        accept = base64.b64encode(hashlib.sha1(self.key + GUID).digest()).decode()
        if not status.startswith("HTTP/1.1 101 ") or fields.get("sec-websocket-accept") != accept:
            raise Broken(f"the handshake was not accepted: {status}")
        if fields.get("upgrade", "").lower() != "websocket" or fields.get("connection", "").lower() != "upgrade":
            raise Broken("the answer to the handshake is no upgrade")
        if extension := fields.get("sec-websocket-extensions"):
            name, *parameters = [part.strip() for part in extension.split(";")]
            if name != "permessage-deflate" or not self.perMessageCompressionOffers:
                raise Broken(f"the server agreed to what was not offered: {extension}")
            parameters = {key.strip(): value.strip() for key, _, value in (part.partition("=") for part in parameters)}
            self._perMessageCompress = Compression(parameters)
        self.state = OPEN
        self.connectionWasOpen = True
        self.case.onOpen()
        return True

    def _later(self, delay_s, function, *arguments):
        self.timers.append(self.loop.call_later(delay_s * PATIENCE, function, *arguments))

    def _drop(self):
        if self.state != CLOSED:
            self.droppedByMe = True
            self.transport.abort()

    # Frames that come in (RFC 6455 section 5).

    def _take_frame(self):
        buffer = self.buffer
        if len(buffer) < 2 or self.remoteCloseCode is not None:
            return False
        first, second = buffer[0], buffer[1]
        if second & 0x80:
            raise Broken("a frame of the server is masked")
        start, length = 2, second
        if second >= 126:
            start = 4 if second == 126 else 10
            if len(buffer) < start:
                return False
            length = int.from_bytes(buffer[2:start], "big")
            if length < (126 if second == 126 else 1 << 16):
                raise Broken("the length of a frame is not in its shortest form")
        self.needed = start + length
        if len(buffer) < self.needed:
            return False
        self.needed = 0
        payload = bytes(buffer[start : start + length])
        del buffer[: start + length]
        self._frame(first & 15, bool(first & 0x80), first >> 4 & 7, payload)
        return self.state != CLOSED

    def _frame(self, opcode, fin, rsv, payload):
        if opcode in (CLOSE, PING, PONG):
            if not fin or rsv or len(payload) > 125:
                raise Broken("a control frame is fragmented, reserved or long")
            {CLOSE: self._closed, PING: self._pinged, PONG: self._ponged}[opcode](payload)
            return
        if opcode not in (CONTINUATION, TEXT, BINARY) or (opcode == CONTINUATION) == (self.message is None):
            raise Broken(f"a frame with opcode {opcode} where it may not be")
        if rsv & 3 or (rsv and (self._perMessageCompress is None or opcode == CONTINUATION)):
            raise Broken("a reserved bit is set")
        if self.message is None:
            self.message = (opcode, bool(rsv), [])
        self.message[2].append(payload)
        if not fin:
            return
        (opcode, compressed, pieces), self.message = self.message, None
        payload = b"".join(pieces)
        if compressed:
            payload = self._perMessageCompress.decompress(payload)
        if opcode == TEXT:
            try:
                payload.decode()
            except UnicodeDecodeError as error:
                raise Broken("a text message is not UTF-8") from error
        self.case.onMessage(payload if self.takes_bytes else payload.decode("latin-1"), opcode == BINARY)

    def _pinged(self, payload):
        if self.state == OPEN:
            self.sendFrame(PONG, payload)

    def _ponged(self, payload):
        self.case.onPong(payload.decode("latin-1"))

    def _closed(self, payload):
        if len(payload) == 1:
            raise Broken("the payload of a Close frame is a single byte")
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError as error:
            raise Broken("the reason of a Close frame is not UTF-8") from error
        self.remoteCloseCode = struct.unpack("!H", payload[:2])[0] if payload else None
        self.wasClean = True
        if self.state == OPEN:
            self.sendCloseFrame(self.remoteCloseCode, reply=True)
        self.case.onClose(True, self.remoteCloseCode, reason)
        # RFC 6455 section 7.1.1: the server closes the connection.
        self._later(SERVER_DROP_S, self._drop)

    # What cases say.

    def _write(self, pieces, one_by_one):
        if self.state == CLOSED:
            return
        if not one_by_one and self.sender is None:
            self.transport.write(b"".join(pieces))
            return
        self.queue += pieces
        if self.sender is None:
            self.sender = self.loop.create_task(self._send_queue())

    async def _send_queue(self):
        while self.queue:
            pieces, self.queue = self.queue, []
            for piece in pieces:
                self.transport.write(piece)
                # Other connections have their turn, so that the pieces are packets of their own.
                await asyncio.sleep(0)
        self.sender = None

    def sendFrame(
        self, opcode, payload=b"", fin=True, rsv=0, mask=None, payload_len=None, chopsize=None, sync=False
    ):
        payload = as_bytes(payload)
        if payload_len is not None:
            payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
        mask = mask or os.urandom(4)
        frame = head(opcode, len(payload), fin, rsv, mask) + masked(payload, mask)
        self.txFrameStats[opcode] = self.txFrameStats.get(opcode, 0) + 1
        if chopsize:
            self._write([frame[at : at + chopsize] for at in range(0, len(frame), chopsize)], one_by_one=True)
        else:
            self._write([frame], one_by_one=sync)

    def sendMessage(self, payload, isBinary=False, fragmentSize=None):
        payload, rsv = as_bytes(payload), 0
        if self._perMessageCompress:
            payload, rsv = self._perMessageCompress.compress(payload), 4
        size = fragmentSize or self.autoFragmentSize or len(payload) or 1
        opcode = BINARY if isBinary else TEXT
        for at in range(0, len(payload) or 1, size):
            self.sendFrame(opcode, payload[at : at + size], fin=at + size >= len(payload), rsv=rsv)
            opcode, rsv = CONTINUATION, 0

    def beginMessage(self, opcode=TEXT):
        self.begun = opcode

    def beginMessageFrame(self, length):
        self.frame_mask, self.frame_at = os.urandom(4), 0
        self._write([head(self.begun, length, fin=False, mask=self.frame_mask)], one_by_one=False)
        self.begun = CONTINUATION

    def sendMessageFrameData(self, payload):
        payload, turn = as_bytes(payload), self.frame_at % 4
        self._write([masked(payload, self.frame_mask[turn:] + self.frame_mask[:turn])], one_by_one=False)
        self.frame_at += len(payload)

    def endMessage(self):
        self.sendFrame(CONTINUATION)

    def sendClose(self, code=None, reason=None):
        self.sendCloseFrame(code, reason)

    def sendCloseFrame(self, code=None, reasonUtf8=None, reply=False):
        if self.state != OPEN:
            return
        payload = struct.pack("!H", code % (1 << 16)) if code is not None else b""
        self.sendFrame(CLOSE, payload + as_bytes(reasonUtf8 or b""))
        self.state = CLOSING
        self.closedByMe = not reply
        self.localCloseReason = reasonUtf8
        if not reply:
            self._later(CLOSE_HANDSHAKE_S, self._miss_close)

    def _miss_close(self):
        """The server has not answered the Close frame."""
        if not self.wasClean:
            self._drop()

    def continueLater(self, delay_s, function, _tag=None):
        self._later(delay_s, lambda: self.state != CLOSED and function())

    def closeAfter(self, delay_s):
        self._later(delay_s, lambda: self.state != CLOSED and self.sendClose())

    def killAfter(self, delay_s):
        self._later(delay_s, lambda: self.state != CLOSED and self._fail())

    def _fail(self):
        self.failedByMe = True
        if self.state == OPEN:
            self.sendCloseFrame(self.CLOSE_STATUS_CODE_GOING_AWAY)
        else:
            self._drop()

    def enableWirelog(self, _enable):
        """There is none."""

    def registerProducer(self, _producer, _streaming):
        """No case that is run has one."""
