"""A session of /v1/sse, message by message."""

import json

from wire import Wire, request


class EventStream:
    """By HTTP/1.0: lines without chunks between them."""

    def __init__(self, port, query, headers=()):
        self.wire = Wire(port)
        self.wire.send(request("GET", f"/v1/sse?{query}", headers, version="HTTP/1.0"))
        answer = self.wire.answer(whole=False)
        assert answer.status == 200, answer
        name, first = self.message()
        assert name == "session"
        self.session, self.address = first["session"], first["address"]

    def message(self):
        """The name of the next message, or None, and its data. Comments are skipped."""
        name, data = None, None
        while True:
            line = self.wire.line()
            assert line.endswith(b"\n"), f"the stream ended: {line!r}"
            field, _, value = line.decode().removesuffix("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data = json.loads(value)
            elif not field and not value and data is not None:
                return name, data

    def close(self):
        self.wire.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
