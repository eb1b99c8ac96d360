"""docs/openapi.yaml and the server say the same: what schemathesis thinks of is answered as the file says, and the file
says nothing that cannot be provoked."""

import copy
import json
import urllib.parse

import hypothesis
import jsonschema_rs
import pytest
import schemathesis
import yaml
from schemathesis.checks import CHECKS
from schemathesis.config import ChecksConfig, GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.config._checks import NegativeDataRejectionConfig
from schemathesis.generation import GenerationMode

from cases import CASES, CONFIG, IN_TESTS, KEY_FILES
from handshakes import BAD, GOOD
from pages import all_blocks
from server import ROOT, SOON_S, Server
from wire import exchange, request

PATH = ROOT / "docs" / "openapi.yaml"
FILE = yaml.safe_load(PATH.read_text())
TABLE = [*CASES, *GOOD, *BAD]
METHODS = ("get", "post", "put", "delete", "patch", "head", "options")
# Enough to find what is wrong with a table of parameters, few enough to be quick.
EXAMPLES_MAX = 30


def operations():
    return [
        (f"{method} {path}", operation)
        for path, methods in FILE["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def resolved(value):
    """A part of the file that may be a reference."""
    while "$ref" in value:
        at = FILE
        for name in value["$ref"].removeprefix("#/").split("/"):
            at = at[name]
        value = at
    return value


def check_schema(schema, value):
    """Checks a value by a schema of the file."""
    jsonschema_rs.validator_for({**schema, "components": FILE["components"]}).validate(value)


@pytest.fixture(scope="module")
def server():
    with Server(config=CONFIG, files=KEY_FILES) as server:
        yield server
        assert server.process.poll() is None, server.told()


# By hand, both ways


def test_the_statuses_of_the_file_are_those_of_the_table():
    named = {(name, int(status)) for name, operation in operations() for status in operation["responses"]}
    of_doors = {name for name, _ in named}
    provoked = {(case.operation, case.status) for case in TABLE if case.operation in of_doors} | IN_TESTS
    assert named == provoked


def of_operations():
    names = {name for name, _ in operations()}
    # What is not even a request line is refused before it is known to be for a door.
    return [case for case in TABLE if case.operation in names and (case.status, case.text) != (400, True)]


@pytest.mark.parametrize("case", of_operations(), ids=lambda case: f"{case.operation}: {case.name}")
def test_each_answer_of_the_table_is_as_the_file_says(case, server):
    answer = exchange(server.port, case.bytes, case.method, whole=not case.endless)
    response = resolved(dict(operations())[case.operation]["responses"][str(answer.status)])
    for name, header in response.get("headers", {}).items():
        found, header = answer.headers[name], resolved(header)
        assert found is not None or not header.get("required"), (name, answer)
        if found is not None and header["schema"]["type"] == "string":
            check_schema(header["schema"], found)
    if "content" not in response:
        return
    kind = answer.headers.get_content_type()
    assert kind in response["content"], answer
    if not case.endless:
        check_schema(response["content"][kind]["schema"], answer.body.decode() if case.text else answer.json())


# Everything in JSON that the pages show


def shown():
    problem, item = {"$ref": "#/components/schemas/Problem"}, {"$ref": "#/components/schemas/Item"}
    event, session, events = ({"$ref": f"#/components/schemas/{name}"} for name in ("Event", "NewSession", "Events"))
    return {
        "sse.md/The event/json": event,
        "sse.md/Errors/json": problem,
        "poll.md/What comes back/json": session,
        "poll.md/What comes back/json/2": events,
        "publish.md/Items/json": item,
        # Messages of a WebSocket are not in the file: test_pages.py holds this conversation.
        "ws.md/Five minutes/json": {},
        "ws.md/Five minutes/json/2": {},
    }


def test_the_json_of_the_pages_is_as_the_file_says():
    blocks = {name: block for name, block in all_blocks().items() if block.language == "json"}
    assert set(blocks) == set(shown())
    for name, schema in shown().items():
        check_schema(schema, json.loads(blocks[name].text))


# By schemathesis


@schemathesis.serializer("application/x-ndjson")
def as_lines(_context, value):
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def with_item_schema():
    """The file as OpenAPI 3.2, by which schemathesis checks the messages of a stream."""
    file = copy.deepcopy(FILE)
    file["openapi"] = "3.2.0"
    stream = file["paths"]["/v1/sse"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    stream["itemSchema"] = stream.pop("x-itemSchema")
    return file


def load(mode):
    # Unknown parameters of a query are ignored, so they are no mistake.
    generation = GenerationConfig(
        modes=[mode], max_examples=EXAMPLES_MAX, deterministic=True, allow_extra_parameters=False
    )
    # A stream never ends: schemathesis reads its first message and hangs up.
    refusals = ChecksConfig(negative_data_rejection=NegativeDataRejectionConfig(expected_statuses=["4xx", "501"]))
    project = ProjectConfig(generation=generation, checks=refusals, max_stream_events=1, request_timeout=SOON_S)
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_dict(with_item_schema(), config=config)


SETTINGS = hypothesis.settings(
    deadline=None,
    database=None,
    derandomize=True,
    max_examples=EXAMPLES_MAX,
    suppress_health_check=list(hypothesis.HealthCheck),
)
GOOD, BAD = load(GenerationMode.POSITIVE), load(GenerationMode.NEGATIVE)
# Whether a list of subjects is good depends on the bytes of each, on its commas and stars, and on what else stands in the
# query: the file cannot say it all, so what it allows may be refused with 400. What it forbids is refused.
ACCEPTANCE, REJECTION = CHECKS.get_by_names(["positive_data_acceptance", "negative_data_rejection"])


def test_the_file_is_open_api():
    schemathesis.openapi.from_dict(FILE).validate()
    GOOD.validate()


@GOOD.parametrize()
@SETTINGS
def test_what_the_file_allows(case, server):
    case.validate_response(case.call(base_url=server.url), excluded_checks=[ACCEPTANCE])


def is_taken(case, response):
    """Whether a request that the file seems to forbid is rightly taken."""
    query = case.query or {}
    # A single value in a query is a list of one.
    if not isinstance(query.get("subject", []), list):
        return True
    # With a subject in the query the body is the data, whatever it is; without one the rest there is not looked at.
    if case.path == "/v1/publish" and query.keys() & {"subject", "event", "to"}:
        return True
    # Of a list with bad items the good ones are taken, and the answer tells which.
    return response.status_code == 202 and response.json()["refused"] > 0


@BAD.parametrize()
@SETTINGS
def test_what_the_file_forbids(case, server):
    response = case.call(base_url=server.url)
    excluded = [ACCEPTANCE, *([REJECTION] if is_taken(case, response) else [])]
    case.validate_response(response, excluded_checks=excluded)


# The examples of the file, as they stand there


def examples():
    body = resolved(dict(operations())["post /v1/publish"]["requestBody"])["content"]
    for kind, media in body.items():
        for name, example in {
            **media.get("examples", {}),
            **({"": {"value": media["example"]}} if "example" in media else {}),
        }.items():
            yield kind, name, example["value"]


@pytest.mark.parametrize(("kind", "name", "value"), list(examples()))
def test_each_example_of_a_body_is_accepted(kind, name, value, server):
    encode = {
        "application/json": json.dumps,
        "application/x-www-form-urlencoded": urllib.parse.urlencode,
        "application/x-ndjson": str,
    }[kind]
    data = request("POST", "/v1/publish", (("Content-Type", kind),), encode(value).encode())
    answer = exchange(server.port, data)
    assert (answer.status, answer.json()["refused"]) == (202, 0), answer


def test_the_example_of_a_stream_is_one():
    example = FILE["paths"]["/v1/sse"]["get"]["responses"]["200"]["content"]["text/event-stream"]["example"]
    session, event = (json.loads(line[6:]) for line in example.splitlines() if line.startswith("data: "))
    assert {*session} == {"session", "address", "heartbeat_ms"}
    check_schema({"$ref": "#/components/schemas/Event"}, event)
