"""Clients of other people against the echo server: `websockets` of Python here, `ws` of node in interop.mjs.

    interop.py ECHO

ECHO is the program `ws_echo`.
"""

import os
import pathlib
import subprocess
import sys

from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Deflate
from websockets.sync.client import connect

from echo import echoes

SOON_S = 60
LENGTHS = [0, 1, 2, 125, 126, 127, 65535, 65536, 300_000, 4_000_000]
TEXT = '{"subject":"/a","data":"héllo, 世界 🎈"}'


def talk(port, **options):
    """Says much and wants it back."""
    url = f"ws://127.0.0.1:{port}/"
    with connect(url, max_size=None, open_timeout=SOON_S, close_timeout=SOON_S, **options) as socket:
        for length in LENGTHS:
            text = (TEXT * (length // len(TEXT) + 1))[:length]
            noise = os.urandom(length)
            for message in (text, noise):
                socket.send(message)
                assert socket.recv(timeout=SOON_S) == message, f"{length} bytes came back as others"
        for pieces in (["", "a", "", "世界", ""], [b"a" * 70_000, b"", b"b"], [TEXT] * 100):
            socket.send(iter(pieces))
            assert socket.recv(timeout=SOON_S) == type(pieces[0])().join(pieces)
        assert socket.ping(b"x" * 125).wait(SOON_S), "a ping was not answered"
        many = [f"{TEXT}{number}" for number in range(1000)]
        for message in many:
            socket.send(message)
        assert [socket.recv(timeout=SOON_S) for _ in many] == many
        socket.close(4001, "enough")
        assert socket.protocol.close_rcvd.code == 4001
        return [extension.name for extension in socket.protocol.extensions], socket.subprotocol


def refused(port, **options):
    try:
        connect(f"ws://127.0.0.1:{port}/", open_timeout=SOON_S, **options)
    except InvalidStatus as refusal:
        return refusal.response.status_code, refusal.response.headers["Content-Type"]
    raise AssertionError("the handshake was accepted")


def python(plain, deflate):
    assert talk(plain, compression=None) == ([], None)
    assert talk(plain) == ([], None), "compression was not offered by the server"
    assert talk(deflate, compression=None) == ([], None)
    agreed = (["permessage-deflate"], None)
    assert talk(deflate) == agreed
    for offer in (
        Deflate(),
        Deflate(server_no_context_takeover=True, client_no_context_takeover=True),
        Deflate(client_max_window_bits=9),
        Deflate(server_max_window_bits=15, client_max_window_bits=15),
    ):
        assert talk(deflate, compression=None, extensions=[offer]) == agreed
    # RFC 7692 section 7.1.2.1: a smaller window is not agreed to, another offer is.
    small = Deflate(server_max_window_bits=9)
    assert talk(deflate, compression=None, extensions=[small]) == ([], None)
    assert talk(deflate, compression=None, extensions=[small, Deflate()]) == agreed
    assert talk(plain, subprotocols=["other", "pushlet.v1.json"]) == ([], "pushlet.v1.json")
    assert refused(plain, subprotocols=["other"]) == (400, "application/problem+json")
    with connect(f"ws://127.0.0.1:{plain}/") as socket:
        socket.close()
        try:
            socket.recv(timeout=SOON_S)
        except ConnectionClosedOK as closed:
            assert closed.rcvd.code == 1000
    print("websockets: ok")


with echoes(sys.argv[1]) as ports:
    python(*ports)
    node = ["node", pathlib.Path(__file__).with_name("interop.mjs"), *map(str, ports)]
    sys.exit(subprocess.run(node, check=False).returncode)
