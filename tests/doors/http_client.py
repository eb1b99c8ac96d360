"""Requests of the tests themselves."""

import dataclasses
import http.client
import json

from server import SOON_S


@dataclasses.dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)

    def problem(self):
        """Its problem document, which must be one in every respect."""
        told = (self.status, self.headers.items(), self.body[:500])
        assert self.headers.get_content_type() == "application/problem+json", told
        assert self.headers["Cache-Control"] == "no-store", told
        problem = self.json()
        assert problem["type"] == "about:blank" and problem["status"] == self.status, told
        assert problem["title"] and problem["detail"], told
        assert isinstance(problem.get("field", ""), str) and isinstance(problem.get("limit", 0), int), told
        return problem


def ask(port, method, target, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SOON_S)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def publish(port, items):
    # Texts stay as they are written, and what needs no escape has none.
    body = json.dumps(items, ensure_ascii=False).encode()
    answer = ask(port, "POST", "/v1/publish", body, {"Content-Type": "application/json"})
    assert answer.status == 202, answer
    return answer.json()


class Poller:
    """A session of /v1/poll."""

    def __init__(self, port, query):
        self.port = port
        answer = ask(port, "GET", f"/v1/poll?{query}")
        assert answer.status == 200, answer
        told = answer.json()
        self.session, self.address = told["session"], told["address"]

    def events(self, wait_s=0):
        answer = ask(self.port, "GET", f"/v1/poll?session={self.session}&wait={wait_s}")
        assert answer.status == 200, answer
        return answer.json()["events"]
