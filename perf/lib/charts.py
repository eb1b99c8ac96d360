"""What the charts show: reading runs of `pushletd bench --json`, grouping those of the same thing, medians and intervals.

Nothing here draws, and nothing but the standard library is needed; drawing is in `charts_draw`.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import report
import scenarios
from figures import Interval, median_interval

PERCENTILES = (("p50", "50 %"), ("p90", "90 %"), ("p99", "99 %"), ("p99_9", "99.9 %"), ("max", "longest"))
# What must be there for a line to be a run of this tool.
_NEEDED = {
    "bench": ("scenario", "sessions_open", "payload_bytes", "subjects", "rate", "good"),
    "wrk": ("scenario", "requests_per_second", "server_cpu_us_per_request", "good"),
    "floor": ("one", "other", "ratio", "rounds", "good"),
}
_PRINTED_BY = {"bench": "`pushletd bench --json`", "wrk": "perf/run wrk", "floor": "`floor --json`"}
# What a run was asked for besides what a chart has on its axes. Runs that differ in one of these are not rounds of the same thing.
_SETTINGS = ("server_start", "format", "publish", "publishers_open", "in_flight", "complete", "pipeline")
_SETTING_WORDS = {"format": "{}", "publish": "published by {}", "publishers_open": "{} publishers", "in_flight": "{} in flight"}
_SETTING_WORDS |= {"complete": "next when {}", "pipeline": "pipeline of {}", "server_start": "{}"}


class Problem(Exception):
    """Input that no chart can be made of; the text tells people what is wrong and where."""


@dataclass(frozen=True)
class Run:
    """One run: which server, and what the generator printed. `place` is file and line."""

    server: str
    facts: dict[str, object] = field(hash=False)
    place: str = ""

    def number(self, key: str) -> float | None:
        """A figure, None where there is none (null, or an older generator)."""
        value = self.facts.get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def word(self, key: str) -> str:
        """A setting as text, empty if it is absent."""
        value = self.facts.get(key)
        return "" if value is None else str(value)


@dataclass(frozen=True)
class Reading:
    """What the files hold: runs of the generator, of wrk and of the floor that count, and in words what was left out."""

    runs: tuple[Run, ...]
    requests: tuple[Run, ...]
    pairs: tuple[Run, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """One line or one colour of a chart: figures by what stands on the axis. `sides`: what perf/run calls it."""

    server: str
    label: str
    points: tuple[tuple[float, Interval], ...]
    sides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A bound that a figure should keep: a value, or a multiple of another's figure.

    `other` is a server, or with `case` (a file of perf/scenarios) one of its sides. `side` is who should keep it, `scenario` is empty where it
    holds for all, `strict` is less or more and not equal.
    """

    metric: str
    at_most: bool
    factor: float
    other: str = ""
    scenario: str = ""
    case: str = ""
    side: str = ""
    strict: bool = False


def _object(text: str, place: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise Problem(f"{place}: this is no JSON ({error.msg}); one object a line is wanted, as `pushletd bench --json` prints it") from error
    if not isinstance(value, dict):
        raise Problem(f"{place}: a JSON object is wanted here")
    return value


def _tool(facts: dict[str, object]) -> str:
    return str(facts.get("tool", "bench"))


def _run(facts: dict[str, object], place: str, server: str | None) -> Run:
    tool = _tool(facts)
    missing = [key for key in _NEEDED[tool] if key not in facts]
    if missing:
        raise Problem(f"{place}: no {', '.join(missing)}; is this what {_PRINTED_BY[tool]} printed?")
    name = facts.get("server", server)
    if not isinstance(name, str) or not name:
        raise Problem(f"{place}: the key server is missing, which perf/run adds; --server NAME says it for lines without one")
    return Run(name, facts, place)


def read(paths: Sequence[Path], server: str | None = None) -> Reading:
    """Reads files of one JSON object a line. `server` names the server of lines that do not say it.

    Lines of other tools (key `tool`) and runs that do not count in the report either are left out, and told.

    Raises Problem if a file cannot be read, a line is no run, or no run is left.
    """
    runs: dict[str, list[Run]] = {tool: [] for tool in _NEEDED}
    other, bad = 0, 0
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise Problem(f"{path}: {error}") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            facts = _object(line, place)
            if _tool(facts) not in runs:
                other += 1
            elif "good" in facts and not report.counts({"server": server, **facts}):
                bad += 1
            else:
                runs[_tool(facts)].append(_run(facts, place, server))
    left_out = [f"{other} lines of other tools"] * (other > 0) + [f"{bad} runs that do not count"] * (bad > 0)
    newest = {tool: _newest(alike) for tool, alike in runs.items()}
    old = sum(map(len, runs.values())) - sum(map(len, newest.values()))
    left_out += [f"{old} runs of older sets"] * (old > 0)
    if not any(runs.values()):
        raise Problem(f"no runs to draw in {', '.join(map(str, paths))}" + (f"; left out: {', '.join(left_out)}" if left_out else ""))
    return Reading(tuple(newest["bench"]), tuple(newest["wrk"]), tuple(newest["floor"]), tuple(left_out))


def _newest(runs: Sequence[Run]) -> list[Run]:
    """Of each case of perf/run the newest set: what was measured before and after a change is no rounds of the same thing."""
    latest: dict[str, str] = {}
    for run in runs:
        latest[run.word("case")] = max(latest.get(run.word("case"), ""), run.word("set"))
    return [run for run in runs if run.word("set") == latest[run.word("case")]]


def way(run: Run) -> str:
    """How subscribers listen, as a word: the transport, or what a dialect says behind the name of its server."""
    if _tool(run.facts) != "bench":
        return ""
    dialect = run.word("dialect") or "pushlet"
    if dialect == "pushlet":
        return run.word("transport")
    name, _, rest = dialect.partition("-")
    return rest if run.server.startswith(name) else dialect


def grouped(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}"


def subjects(run: Run) -> str:
    """How many subjects, in words that hold for any number of subscribers."""
    count = int(run.number("subjects") or 1)
    if count == 1:
        return ""
    return "a subject for each" if count >= (run.number("sessions_open") or 0) else f"{grouped(count)} subjects"


def pace(run: Run) -> str:
    """What drives the load: a rate, or the end of earlier events."""
    rate = run.number("rate") or 0
    if rate > 0:
        return f"{grouped(rate)} events/s"
    if run.word("scenario") == "idle":
        return ""
    return "one event at a time" if run.number("in_flight") == 1 else "saturated"


def load(run: Run, with_sessions: bool = True) -> str:
    """What the server was put to, in words. It is the same for all servers that can be compared."""
    sessions = f"{grouped(run.number('sessions_open') or 0)} subscribers" if with_sessions else ""
    payload = f"{grouped(run.number('payload_bytes') or 0)} bytes of payload"
    return ", ".join(part for part in (run.word("scenario"), sessions, subjects(run), pace(run), payload) if part)


def slug(text: str) -> str:
    """A text as part of a file's name."""
    plain = text.lower().replace(",", "").replace("events/s", "per-second").removesuffix(" of payload")
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def by(runs: Iterable[Run], key: Callable[[Run], str]) -> dict[str, list[Run]]:
    """Runs by what they have in common, in the order in which they came."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return found


def _differing(runs: Sequence[Run], axis: Callable[[Run], float]) -> list[str]:
    """Settings that are not the same in all runs at one place of the axis."""
    found = []
    for key in _SETTINGS:
        at: dict[float, set[str]] = {}
        for run in runs:
            at.setdefault(axis(run), set()).add(run.word(key))
        if any(len(values) > 1 for values in at.values()):
            found.append(key)
    return found


def series(runs: Sequence[Run], axis: Callable[[Run], float], metric: Callable[[Run], float | None]) -> list[Series]:
    """Series of a chart: one for each server and way to listen, and for each setting in which runs at the same place differ.

    pushletd comes first, the others by name. Runs without the figure are no part of it.
    """
    known = [run for run in runs if metric(run) is not None]
    found = []
    for label, alike in by(known, lambda run: " ".join(part for part in (run.server, way(run)) if part)).items():
        differing = _differing(alike, axis)

        def full(run: Run, label: str = label, differing: list[str] = differing) -> str:
            return ", ".join([label, *(_SETTING_WORDS[key].format(run.word(key) or "as usual") for key in differing)])

        for name, same in by(alike, full).items():
            places = sorted({axis(run) for run in same})
            points = tuple((place, _figure(same, axis, metric, place)) for place in places)
            sides = tuple(sorted({run.word("side") for run in same} - {""}))
            found.append(Series(same[0].server, name, points, sides))
    return sorted(found, key=lambda one: (one.server != "pushletd", one.label))


def _figure(runs: Sequence[Run], axis: Callable[[Run], float], metric: Callable[[Run], float | None], place: float) -> Interval:
    values = (metric(run) for run in runs if axis(run) == place)
    return median_interval(value for value in values if value is not None)


def settings_vary(runs: Sequence[Run]) -> list[str]:
    """Settings that one server was not given alike along the axis, for the small print: `in_flight 16, 64`."""
    found: dict[str, None] = {}
    for alike in by(runs, lambda run: f"{run.server} {way(run)}").values():
        for key in _SETTINGS:
            words = sorted({run.word(key) for run in alike}, key=lambda word: (len(word), word))
            if len(words) > 1:
                found[f"{key} {', '.join(words)}"] = None
    return list(found)


_TARGET = re.compile(
    r"(?:(?P<scenario>[a-z-]+):)?\s*(?P<metric>[a-z0-9_]+)\s*(?P<relation><=|>=)\s*(?P<factor>\d+(?:\.\d+)?)\s*(?:[x*]\s*(?P<server>\S+))?"
)


def target(text: str) -> Target:
    """Reads `[SCENARIO:] METRIC <= NUMBER [x SERVER]`, or with `>=`.

    Raises Problem if it is anything else.
    """
    found = _TARGET.fullmatch(text.strip())
    if found is None:
        raise Problem(f"this is no target: {text!r}; for example 'server_cpu_us_per_delivery <= 0.75 x nchan'")
    return Target(found["metric"], found["relation"] == "<=", float(found["factor"]), found["server"] or "", found["scenario"] or "")


# Keys of perf/run that are a key of the generator in another unit.
_OTHER_UNITS = {
    "server_kib_per_connection": ("server_bytes_per_connection", 1024.0),
    "delivery_ms_p50": ("delivery_us_p50", 1000.0),
    "delivery_ms_p99": ("delivery_us_p99", 1000.0),
}


def targets_of(folder: Path) -> list[Target]:
    """The targets of all scenario files.

    Raises Problem if a file makes no sense.
    """
    try:
        known = scenarios.read_all(folder)
    except scenarios.Problem as problem:
        raise Problem(str(problem)) from problem
    found = []
    for scenario in known:
        for wanted in scenario.targets:
            metric, unit = _OTHER_UNITS.get(wanted.key, (wanted.key, 1.0))
            factor = wanted.bound if wanted.other else wanted.bound * unit
            at_most, strict = wanted.relation.startswith("<"), wanted.relation in ("<", ">")
            found.append(Target(metric, at_most, factor, wanted.other or "", "", scenario.name, wanted.side, strict))
    return found


Bounds = list[tuple[Target, tuple[tuple[float, float], ...]]]


def bounds(targets: Iterable[Target], key: str, runs: Sequence[Run], axis: Callable[[Run], float]) -> Bounds:
    """Targets of a chart as lines: place on the axis and value. What no run of the chart is under, or is compared with, is left out."""
    found = []
    for bound in targets:
        if bound.metric != key or bound.scenario not in ("", runs[0].word("scenario")):
            continue
        under = [run for run in runs if bound.case in ("", run.word("case")) and run.number(key) is not None]
        line = []
        for place in sorted({axis(run) for run in under}):
            value = _bound(bound, key, [run for run in under if axis(run) == place])
            if value is not None:
                line.append((place, value))
        if line:
            found.append((bound, tuple(line)))
    return _strictest(found)


def _strictest(found: Bounds) -> Bounds:
    """Of several targets of one side the strictest at each place: to be ahead of all is to be ahead of the best. The last place gives the name."""
    best: dict[tuple[str, bool], dict[float, tuple[float, Target]]] = {}
    for bound, line in found:
        places = best.setdefault((bound.side, bound.at_most), {})
        for place, value in line:
            held = places.get(place)
            if held is None or (value < held[0] if bound.at_most else value > held[0]):
                places[place] = (value, bound)
    return [(places[max(places)][1], tuple((place, places[place][0]) for place in sorted(places))) for places in best.values()]


def _bound(bound: Target, key: str, runs: Sequence[Run]) -> float | None:
    """The value of a target at one place. Where a server is there in several ways (nchan by SSE and by chunks), its best figure counts."""
    if not bound.other:
        return bound.factor
    theirs = [run for run in runs if bound.other == (run.word("side") if bound.case else run.server)]
    medians = [median_interval(run.number(key) or 0.0 for run in alike).median for alike in by(theirs, way).values()]
    if not medians:
        return None
    return bound.factor * (min(medians) if bound.at_most else max(medians))


@dataclass(frozen=True)
class Pair:
    """Two servers that perf/floor measured in turn: names, medians in microseconds, the ratio of rounds, and what it should be."""

    one: str
    other: str
    one_us: float
    other_us: float
    ratio: Interval
    bound: float | None


def pairs(runs: Iterable[Run], targets: Iterable[Target]) -> list[Pair]:
    """The pairs of the floor; those without a round are left out."""
    known = [bound for bound in targets if bound.other]
    found = []
    for run in runs:
        turns = run.facts["rounds"]
        ratios = [float(turn["ratio"]) for turn in turns if turn.get("ratio")] if isinstance(turns, list) else []
        names = (run.word("side"), run.word("other_side"))
        if ratios:
            wanted = [bound.factor for bound in known if (bound.case, bound.side, bound.other) == (run.word("case"), *names)]
            one, other = run.facts["one"], run.facts["other"]
            told, bound = (_name(one, names[0]), _name(other, names[1])), wanted[0] if wanted else None
            found.append(Pair(told[0], told[1], _median(one), _median(other), median_interval(ratios), bound))
    return found


def _name(side: object, name: str) -> str:
    """What a side of a pair is called: the name of perf/run, with the server before it where that is ours."""
    facts = side if isinstance(side, dict) else {}
    ours = "pushletd" in (facts.get("programs") or []) and "pushletd" not in name
    return f"pushletd {name or facts.get('name', '')}".strip() if ours else name or str(facts.get("name", ""))


def _median(side: object) -> float:
    figure = side.get("cpu_us_per_delivery") if isinstance(side, dict) else None
    value = figure.get("median") if isinstance(figure, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0


def sources(runs: Sequence[Run]) -> str:
    """Machine, commit and date of the runs, as the small print has them; what nobody said is not there."""
    parts = []
    for key in ("machine", "commit", "date"):
        found = sorted({_shown(run.facts[key], key) for run in runs if run.facts.get(key)})
        if found:
            shown = found if len(found) <= 2 else [found[0], f"... {found[-1]}"]
            parts.append(("commit " if key == "commit" else "") + ", ".join(shown))
    names = {"bench": "pushletd bench", "floor": "perf/floor"}
    tools = sorted({f"{names.get(_tool(run.facts), _tool(run.facts))} {run.word('version')}".strip() for run in runs})
    return " | ".join([*parts, ", ".join(tools)])


def _shown(value: object, key: str) -> str:
    if isinstance(value, dict):
        return ", ".join(str(part) for part in value.values())
    text = str(value)
    if key == "date":
        return text[:10]
    return text[:12] if key == "commit" and re.fullmatch(r"[0-9a-f]{13,}", text) else text


def counts(shown: Iterable[Interval]) -> str:
    """What points and bars stand for, from how many runs there are."""
    numbers = sorted({figure.count for figure in shown})
    if not numbers or numbers == [1]:
        return "One run each."
    many = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    if numbers[0] >= 6:
        return f"Medians of {many} runs; error bars: 95 % interval of the median."
    if numbers[-1] < 6:
        return f"Medians of {many} runs; error bars: lowest and highest run."
    return f"Medians of {many} runs; error bars: 95 % interval of the median, of fewer than 6 runs lowest and highest."
