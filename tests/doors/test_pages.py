"""Every example of docs/sse.md, poll.md, ws.md and publish.md does what the page says. One without a test is an error."""

import json
import os
import re
import signal
import sys

import pytest

from http_client import Poller, ask, publish
from pages import all_blocks, plain
from relay import Relay
from server import PUSHLETD, TARGET, Process, Server, wait_for
from web import Web

BLOCKS = all_blocks()
ON_PAGES = "//127.0.0.1:8080"
UTF8 = {"LC_ALL": "C.UTF-8"}

# Programs that listen until they are ended.
LISTENERS = [
    "sse.md/In a page/js",
    "sse.md/Node/js",
    "sse.md/Python/python",
    "sse.md/Java/java",
    "poll.md/In a page, or in Node/js",
    "poll.md/Python/python",
    "poll.md/Java/java",
    *(CONVERSATIONS := ["ws.md/In a page/js", "ws.md/Python/python", "ws.md/Java/java"]),
]
# Programs that publish and end.
PUBLISHERS = ["publish.md/In a page, or in Node", "publish.md/Python", "publish.md/Java"]
TYPED = {
    "sse.md/Five minutes/sh",
    "sse.md/Five minutes/sh/2",
    "sse.md/Five minutes/text",
    "poll.md/Five minutes/sh",
    "poll.md/Five minutes/sh/2",
    "poll.md/Five minutes/text",
    "ws.md/Five minutes/sh",
    "ws.md/Five minutes/sh/2",
    "ws.md/Five minutes/text",
    "publish.md/Five minutes/sh",
    "publish.md/Five minutes/text",
    "publish.md/Five minutes/sh/2",
    "publish.md/Five minutes/text/2",
    "publish.md/Five minutes/sh/3",
    "publish.md/Five minutes/text/3",
}


def test_every_block_of_code_is_run():
    publishers = {name for name in BLOCKS for start in PUBLISHERS if name.startswith(start + "/")}
    # test_proxies.py has the configurations, test_openapi.py the bodies.
    elsewhere = {name for name, block in BLOCKS.items() if block.language in ("nginx", "haproxy", "json")}
    tested = {*LISTENERS, *TYPED, *publishers, *elsewhere}
    assert len(publishers) == 2 * len(PUBLISHERS)
    assert tested == set(BLOCKS), "a block without a test, or a test without its block"


def program(name, folder, url):
    """Starts the program of a page as its reader would, in a folder of its own."""
    block = BLOCKS[name]
    assert ON_PAGES in block.text
    text = block.text.replace(ON_PAGES, url.removeprefix("http:"))
    folder.mkdir(parents=True)
    if block.language == "sh":
        # The program under its name.
        (folder / "pushletd").symlink_to(PUSHLETD)
        path = f"{folder}:{os.environ.get('PATH', '')}"
        return Process(["bash", "-euo", "pipefail", "-c", text], environment={**UTF8, "PATH": path})
    if block.language == "python":
        file, command = folder / "program.py", [sys.executable, "-W", "error"]
    elif block.language == "java":
        file, command = (
            folder / (re.search(r"public class (\w+)", text)[1] + ".java"),
            ["java", "-XX:TieredStopAtLevel=1"],
        )
    else:
        file, command = folder / "program.mjs", ["node"]
        (folder / "node_modules").symlink_to(TARGET / "node" / "node_modules")
        # What a browser has by itself.
        if name == "sse.md/In a page/js":
            text = f'import {{ EventSource }} from "eventsource";\nglobalThis.EventSource = EventSource;\n{text}'
        if name == "ws.md/In a page/js":
            text = f'import {{ WebSocket }} from "ws";\n{text}'
    file.write_text(text)
    return Process([*command, str(file)], environment=UTF8)


def run(name, folder, url):
    """Runs a program to its end and returns what it printed."""
    with program(name, folder, url) as process:
        assert process.wait_end() == 0, process.told()
        return process.out()


@pytest.fixture
def server():
    with Server() as server:
        yield server


# Typed into a terminal


def test_a_stream_is_listened_to_by_curl(server, tmp_path):
    with program("sse.md/Five minutes/sh", tmp_path / "listen", server.url) as curl:
        server.wait_metric("subscriptions", 1)
        run("sse.md/Five minutes/sh/2", tmp_path / "publish", server.url)
        told = BLOCKS["sse.md/Five minutes/text"].text
        curl.wait_out(lambda out: out.endswith("}\n\n") and "/news" in out)
        assert plain(curl.out()) == plain(told) + "\n"


def test_a_poll_is_made_by_curl(server, tmp_path):
    with program("poll.md/Five minutes/sh", tmp_path / "listen", server.url) as curl:
        server.wait_metric("subscriptions", 1)
        run("poll.md/Five minutes/sh/2", tmp_path / "publish", server.url)
        assert curl.wait_end() == 0, curl.told()
        assert plain(curl.out()) == plain(BLOCKS["poll.md/Five minutes/text"].text)


def test_a_websocket_is_listened_to_by_our_own_client(server, tmp_path):
    with program("ws.md/Five minutes/sh", tmp_path / "listen", server.url) as sub:
        server.wait_metric("subscriptions", 1)
        run("ws.md/Five minutes/sh/2", tmp_path / "publish", server.url)
        told = BLOCKS["ws.md/Five minutes/text"].text
        assert sub.wait_out(lambda out: out == told)


def test_the_conversation_of_the_page_is_what_is_said(server):
    """Up to ids, addresses and times. What the client says stands in one array."""
    says, hears = (json.loads(BLOCKS[f"ws.md/Five minutes/json{suffix}"].text) for suffix in ("", "/2"))
    with Web(server.port) as web:
        web.say(says)
        heard = [web.first, *web.messages(len(hears) - 1)]
    # An event may come before the ack of its publish.
    last = sorted(heard[2:], key=lambda found: "type" not in found)
    assert plain(json.dumps(heard[:2] + last)) == plain(json.dumps(hears))


def test_events_are_published_by_curl(server, tmp_path):
    listener = Poller(server.port, "subject=/news,/sport")
    for suffix in ("", "/2", "/3"):
        out = run(f"publish.md/Five minutes/sh{suffix}", tmp_path / f"publish{suffix}", server.url)
        assert out == BLOCKS[f"publish.md/Five minutes/text{suffix}"].text
    heard = listener.events()
    for event in heard:
        del event["time"]
    assert heard == [
        {"subject": "/news", "data": {"title": "It works"}},
        {"subject": "/news", "event": "alarm", "data": {"title": "Fire", "floor": 3}},
        {"subject": "/news", "data": "half time"},
        {"subject": "/sport", "data": "half time"},
        {"subject": "/news", "data": {"title": "It works"}},
        {"subject": "/news", "content_type": "text/plain", "data": "half time"},
        {"subject": "/news", "data": "1:0"},
        {"subject": "/news", "data": "2:0"},
    ]


# Programs that publish


@pytest.mark.parametrize("start", PUBLISHERS)
def test_a_program_publishes_once_however_often_it_must_try(start, server, tmp_path):
    (name,) = [name for name in BLOCKS if name.startswith(start + "/") and not name.endswith("/text")]
    listener = Poller(server.port, "subject=/news")
    with Relay() as relay, program(name, tmp_path / "program", relay.url) as process:
        process.wait_out(lambda out: out.startswith("error: "))
        relay.lead_to(server)
        assert process.wait_end() == 0, process.told()
        lines = [line for line in process.out().splitlines(keepends=True) if not line.startswith("error: ")]
        assert "".join(lines) == BLOCKS[f"{start}/text"].text
    (event,) = listener.events()
    assert event["data"] == {"title": "It works"}


# Programs that listen: all at once, to three servers after each other

TEXT = "one\u2028line"
ROUNDS = 3


def events_of(number):
    return [
        {"subject": "/news", "data": {"round": number}},
        {"subject": "/news", "event": "alarm", "data": [number, None]},
        {"subject": "/news", "data": f"{TEXT} {number}"},
    ]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the programs print in three rounds. The first server is stopped, the second one dies.

    Each has one core: of several one may still begin a session when another one has said that the server stops.
    """
    folder = tmp_path_factory.mktemp("listeners")
    processes = {}
    with Relay() as relay:
        try:
            with Server(cores="1") as first:
                relay.lead_to(first)
                hello = Poller(first.port, "subject=/hello")
                for at, name in enumerate(LISTENERS):
                    processes[name] = program(name, folder / str(at), relay.url)
                hear(first, 1, processes)
                greetings = sorted(event["data"] for event in hello.events())
                assert greetings == ["from Java", "from Python", "from a page"]
                ask(first.port, "GET", f"/pushlet.srv?p_event=leave&p_id={hello.session}")
                relay.lead_to(None)
                first.stop(signal.SIGTERM)
            with Server(cores="1") as second:
                relay.lead_to(second)
                hear(second, 2, processes)
                relay.lead_to(None)
                second.stop(signal.SIGKILL)
            with Server(cores="1") as third:
                relay.lead_to(third)
                hear(third, 3, processes)
        finally:
            for process in processes.values():
                process.stop()
    return {name: process.out() for name, process in processes.items()}


def hear(server, number, processes):
    """Publishes when all have subscribed, and goes on when all have printed the last event."""
    told = lambda: "\n".join(process.told() for process in processes.values())
    # The test itself listens to the first one.
    wait_for(told, lambda: server.metric("subscriptions") == len(processes) + (number == 1))
    publish(server.port, events_of(number))
    wait_for(told, lambda: all(f"{TEXT} {number}" in process.out() for process in processes.values()))


def shown(form):
    """The lines of all rounds."""
    return [line for number in range(1, ROUNDS + 1) for line in form(number)]


def lines(out):
    """Lines of a program but for those that tell of a broken connection: those depend on the moment."""
    return [line for line in plain(out).split("\n") if line and not line.startswith("error: ")]


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_a_page_listens(printed):
    def form(number):
        yield "listening as ID"
        yield f'/news undefined {{"round":{number}}}'
        yield f"/news alarm [{number},null]"
        yield f'/news undefined "{TEXT} {number}"'
        if number == 1:
            yield "end: shutdown"

    assert lines(printed["sse.md/In a page/js"]) == shown(form)


def test_node_listens(printed):
    def form(number):
        yield "listening as ID"
        yield f'0 /news {{"round":{number}}}'
        yield f'0 /news "{TEXT} {number}"'

    assert lines(printed["sse.md/Node/js"]) == shown(form)


def test_python_listens(printed):
    def form(number):
        yield "listening as ID"
        yield f'0 /news {{"round": {number}}}'
        yield f"0 /news [{number}, null]"
        yield f'0 /news "{TEXT} {number}"'
        if number == 1:
            yield "end: shutdown"

    assert lines(printed["sse.md/Python/python"]) == shown(form)


def test_java_listens(printed):
    def form(number):
        yield 'session {"session":"ID","address":"ID","heartbeat_ms":20000}'
        for event in events_of(number):
            name, data = event.get("event", "message"), {**event, "time": "TIME"}
            if "event" in event:
                data = {"subject": "/news", "event": name, "data": event["data"], "time": "TIME"}
            yield f"{name} {compact(data)}".replace('"TIME"', "TIME")
        if number == 1:
            yield 'end {"reason":"shutdown","text":"the server is shutting down"}'

    assert lines(printed["sse.md/Java/java"]) == shown(form)


@pytest.mark.parametrize(("name", "separators"), [("ws.md/In a page/js", (",", ":")), ("ws.md/Python/python", (", ", ": "))])
def test_programs_converse(printed, name, separators):
    def form(number):
        yield "listening as ID"
        for event in events_of(number):
            yield f"0 /news {json.dumps(event['data'], ensure_ascii=False, separators=separators)}"
        if number == 1:
            yield "end: shutdown"

    out = lines(printed[name])
    # The ack of what it publishes itself may come between two events.
    assert out.count("published: 1") == ROUNDS
    assert [line for line in out if line != "published: 1"] == shown(form)


def test_java_converses(printed):
    found = [json.loads(line) for line in printed["ws.md/Java/java"].split("\n") if line.startswith("{")]
    events = [one for one in found if "type" not in one]
    for event in events:
        del event["time"]
    assert events == shown(events_of)
    kinds = [one["type"] for one in found if "type" in one]
    assert [kinds.count(kind) for kind in ("session", "ack", "nack", "end")] == [ROUNDS, 2 * ROUNDS, 0, 1]
    assert {one.get("accepted") for one in found if one.get("id") == 2} == {1}


@pytest.mark.parametrize(
    ("name", "separators"),
    [
        ("poll.md/In a page, or in Node/js", (",", ":")),
        ("poll.md/Python/python", (", ", ": ")),
    ],
)
def test_programs_poll(printed, name, separators):
    def form(number):
        yield "listening as ID"
        for event in events_of(number):
            yield f"0 /news {json.dumps(event['data'], ensure_ascii=False, separators=separators)}"

    assert lines(printed[name]) == shown(form)


def test_java_polls(printed):
    answers = [json.loads(line) for line in printed["poll.md/Java/java"].split("\n") if line.startswith("{")]
    heard = [event for answer in answers for event in answer["events"]]
    for event in heard:
        del event["time"]
    assert heard == shown(events_of)
    assert sum("address" in answer for answer in answers) == ROUNDS, "a session for each server"
    assert [answer["end"]["reason"] for answer in answers if "end" in answer] == ["shutdown"]
