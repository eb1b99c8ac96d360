"""Scenario files: what is measured, who takes part, and what is hoped for."""

import shlex
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from figures import Target, read_target

TOOLS = ("bench", "floor", "start")
OURS = "pushletd"
FLOOR = "floor"
PEERS = ("nchan", "pushpin", "nats", "redis", "uws", "socket.io", "faye")
ROUNDS, TIMEOUT_SECONDS = 7, 120


class Problem(Exception):
    """A file makes no sense; the text says which, where and why."""


@dataclass(frozen=True)
class Side:
    """Somebody who takes part: a server, how it is started, and how it is spoken to."""

    name: str
    server: str
    start: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    """One file."""

    name: str
    what: str
    tool: str
    words: tuple[str, ...]
    quick: tuple[str, ...]
    sides: tuple[Side, ...]
    targets: tuple[Target, ...]
    rounds: int
    timeout: float
    fresh: bool
    pin: bool

    def side(self, name: str) -> Side:
        """The side of this name, which there is."""
        return next(side for side in self.sides if side.name == name)

    def command_words(self, side: Side, quick: bool) -> list[str]:
        """What the load generator is told for one side: a side's words go before those of the scenario, the quick ones before both."""
        return merged(self.words, side.words, self.quick if quick else ())


def merged(*lists: Iterable[str]) -> list[str]:
    """Joins words; an option that comes again replaces the one before, with its value."""
    plain: list[str] = []
    options: dict[str, list[str]] = {}
    for words in lists:
        option = None
        for word in words:
            if word.startswith("--"):
                option = word
                options[word] = []
            elif option is not None:
                options[option].append(word)
            elif word not in plain:
                plain.append(word)
    return plain + [part for option, values in options.items() for part in (option, *values)]


_SCENARIO_KEYS: dict[str, type] = {
    "name": str, "what": str, "tool": str, "words": str, "quick": str, "side": list,
    "targets": list, "rounds": int, "timeout": int, "fresh": bool, "pin": bool,
}  # fmt: skip
_SIDE_KEYS: dict[str, type] = {"name": str, "server": str, "start": str, "words": str}


def _check(place: str, facts: dict[str, object], known: dict[str, type], needed: Iterable[str]) -> None:
    for key, value in facts.items():
        if key not in known:
            raise Problem(f"{place}: `{key}` is no key here; there are {', '.join(known)}")
        if type(value) is not known[key]:
            raise Problem(f"{place}: `{key}` is a {type(value).__name__}, a {known[key].__name__} is wanted")
    for key in needed:
        if key not in facts:
            raise Problem(f"{place}: `{key}` is missing")


def _words(place: str, text: object) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(str(text)))
    except ValueError as error:
        raise Problem(f"{place}: {error} in `{text}`") from error


def _side(place: str, facts: object) -> Side:
    if not isinstance(facts, dict):
        raise Problem(f"{place}: a table is wanted, [[side]]")
    _check(place, facts, _SIDE_KEYS, ["server"])
    server = facts["server"]
    if server not in (OURS, FLOOR, *PEERS):
        raise Problem(f"{place}: nobody knows the server `{server}`; there are {', '.join((OURS, FLOOR, *PEERS))}")
    name = facts.get("name", server)
    if ":" in name:
        raise Problem(f"{place}: the name `{name}` has a colon, which ends it in a target")
    return Side(name, server, _words(place, facts.get("start", "")), _words(place, facts.get("words", "")))


def _targets(place: str, texts: list[object], sides: Iterable[Side]) -> tuple[Target, ...]:
    names = [side.name for side in sides]
    found = []
    for text in texts:
        try:
            target = read_target(str(text))
        except ValueError as error:
            raise Problem(f"{place}: {error}") from error
        for name in (target.side, target.other):
            if name is not None and name not in names:
                raise Problem(f"{place}: the target `{text}` names `{name}`, which is no side; there are {', '.join(names)}")
        found.append(target)
    return tuple(found)


def read(path: Path) -> Scenario:
    """Reads one file.

    Raises Problem.
    """
    place = path.name
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Problem(f"{place}: {error}") from error
    _check(place, facts, _SCENARIO_KEYS, ["name", "what", "tool", "side"])
    if facts["name"] != path.stem:
        raise Problem(f"{place}: the scenario is called `{facts['name']}`; file and scenario have the same name")
    if facts["tool"] not in TOOLS:
        raise Problem(f"{place}: nobody knows the tool `{facts['tool']}`; there are {', '.join(TOOLS)}")
    for key in ("rounds", "timeout"):
        if facts.get(key, 1) < 1:
            raise Problem(f"{place}: `{key}` is at least 1")
    sides = tuple(_side(f"{place}, side {at}", side) for at, side in enumerate(facts["side"], 1))
    names = [side.name for side in sides]
    for name in names:
        if names.count(name) > 1:
            raise Problem(f"{place}: two sides are called `{name}`; give one of them a name")
    scenario = Scenario(
        name=facts["name"],
        what=facts["what"],
        tool=facts["tool"],
        words=_words(place, facts.get("words", "")),
        quick=_words(place, facts.get("quick", "")),
        sides=sides,
        targets=_targets(place, facts.get("targets", []), sides),
        rounds=facts.get("rounds", ROUNDS),
        timeout=float(facts.get("timeout", TIMEOUT_SECONDS)),
        fresh=facts.get("fresh", False),
        pin=facts.get("pin", True),
    )
    _check_tool(place, scenario)
    return scenario


def _check_tool(place: str, scenario: Scenario) -> None:
    """What only some tools can do."""
    bare = [side.name for side in scenario.sides if side.server == FLOOR]
    if bare and scenario.tool != "floor":
        raise Problem(f"{place}: the side `{bare[0]}` is the floor, which only the tool `floor` knows")
    if scenario.tool == "start" and any(side.server != OURS for side in scenario.sides):
        raise Problem(f"{place}: the tool `start` knows {OURS} only")
    if scenario.tool == "floor":
        for target in scenario.targets:
            if target.other is None or target.key != "server_cpu_us_per_delivery":
                raise Problem(f"{place}: the tool `floor` compares two, by server_cpu_us_per_delivery: `{target}`")
            if scenario.side(target.side).server == FLOOR:
                raise Problem(f"{place}: the floor is the second of a pair: `{target}`")


def read_all(folder: Path) -> list[Scenario]:
    """All files of a folder, by name.

    Raises Problem at the first that makes no sense.
    """
    return [read(path) for path in sorted(folder.glob("*.toml"))]
