"""Requests as bytes, so that they can be wrong, and answers as http.client reads them."""

import http.client
import socket

from http_client import Answer
from server import SOON_S


def request(method, target, headers=(), body=b"", version="HTTP/1.1", length=True):
    """The bytes of a request. `headers` come as they are; `length` adds how long the body is, where there is one;
    a value of None leaves a field out that would be there.
    """
    lines = [
        f"{method} {target} {version}".encode()
        if isinstance(target, str)
        else b" ".join([method.encode(), target, version.encode()])
    ]
    names = {name.lower() for name, _ in headers}
    fields = [*headers]
    if "host" not in names and version == "HTTP/1.1":
        fields.insert(0, ("Host", "example.org"))
    if length and (body or method in ("POST", "PUT")) and "transfer-encoding" not in names:
        fields.append(("Content-Length", str(len(body))))
    lines += [f"{name}: {value}".encode() for name, value in fields if value is not None]
    return b"\r\n".join([*lines, b"", b""]) + body


class Wire:
    """A connection, and the answers that come over it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SOON_S)
        self._file = self.socket.makefile("rb")

    def send(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece)

    def answer(self, method="GET", whole=True):
        """The next answer; `whole` is False where it never ends: then it is its head."""
        # It would make a file of its own, which may read more than its answer.
        reader = http.client.HTTPResponse(self, method=method)
        reader.begin()
        body = reader.read() if whole else b""
        return Answer(reader.status, reader.headers, body)

    def makefile(self, _mode):
        return Borrowed(self._file)

    def rest(self):
        """What comes until the other end closes."""
        return self._file.read()

    def line(self):
        return self._file.readline()

    def read(self, length):
        """So many bytes, or fewer if the other end closes before."""
        return self._file.read(length)

    def close(self):
        self._file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Borrowed:
    """A file that stays open when an answer is done with it."""

    def __init__(self, file):
        self._file = file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def close(self):
        pass


def exchange(port, data, method="GET", whole=True):
    """One request by itself, and its answer."""
    with Wire(port) as wire:
        wire.send(data)
        return wire.answer(method, whole)
