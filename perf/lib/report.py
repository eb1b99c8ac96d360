"""RESULTS.md: what the newest runs of each scenario come to."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import measure
from figures import ROUNDS_MIN, Interval, Target, Verdict, median_interval
from records import Record
from scenarios import OURS, Scenario

BEGIN, END = "<!-- figures: written by perf/run report -->", "<!-- end of figures -->"
PEER_OPEN_SHARE = 0.99
# What a run says about its own faults is judged in all runs: those that count have none.
ACCOUNT = ("sessions_open", "lost", *measure.DROPS)
# Two servers with less to do than this have waited for the load generator, and which of them is quicker is not seen.
BUSY_PERCENT = 90.0
_RATES = ("deliveries_per_second", "churn_per_second")

# Heading, key, format: what the table of a scenario shows where there is a figure other than 0.
_DELIVERIES = (
    ("deliveries/s", "deliveries_per_second", ",.0f"),
    ("us CPU a delivery", "server_cpu_us_per_delivery", ".3f"),
    ("50 %, ms", "delivery_ms_p50", ".2f"),
    ("99 %, ms", "delivery_ms_p99", ".2f"),
    ("bytes", "bytes_per_delivery", ".0f"),
    ("CPU %", "server_cpu_percent", ".1f"),
)
_MEMORY = (("KiB a connection", "server_kib_per_connection", ".3f"), ("CPU %", "server_cpu_percent", ".3f"))
_CHURN = (("cycles/s", "churn_per_second", ",.0f"), ("us CPU a cycle", "server_cpu_us_per_cycle", ".1f"), ("CPU %", "server_cpu_percent", ".1f"))
_START = (("ms", "start_ms", ".1f"),)
_COLUMNS = {"fan-out": _DELIVERIES, "latency": _DELIVERIES, "unicast": _DELIVERIES, "idle": _MEMORY, "churn": _CHURN}


def number(one: Record, key: str) -> float | None:
    """A figure of a run, None where there is none."""
    value = one.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def counts(one: Record) -> bool:
    """Whether a run counts. Ours has to be without fault; a peer's may have faults, which are told, if it went through with nearly all sessions."""
    if one.get("stopped_early"):
        return False
    if one.get("good") is True:
        return one.get("server") != OURS or not measure.drops(one)
    if one.get("server") == OURS or one.get("failed") or one.get("server_gone") is not False:
        return False
    opened, wanted = number(one, "sessions_open"), number(one, "sessions_wanted")
    return opened is not None and wanted is not None and opened >= PEER_OPEN_SHARE * wanted


def good(runs: Iterable[Record]) -> list[Record]:
    """Those that count."""
    return [one for one in runs if counts(one)]


def values(scenario: Scenario, target: Target, runs: Sequence[Record]) -> list[float]:
    """The target's figure in each round in which all that it names were good; what is a fault itself, in all rounds."""
    if scenario.tool == "floor":
        pairs = [one for one in good(runs) if one["side"] == target.side and one.get("other_side") == target.other]
        return [float(turn["ratio"]) for one in pairs for turn in one["rounds"]]  # type: ignore[attr-defined]
    rounds: dict[object, dict[object, float]] = {}
    for one in runs if target.key in ACCOUNT else good(runs):
        value = number(one, target.key)
        if value is not None:
            rounds.setdefault(one["round"], {})[one["side"]] = value
    if target.other is None:
        return [turn[target.side] for turn in rounds.values() if target.side in turn]
    both = [turn for turn in rounds.values() if target.side in turn and turn.get(target.other, 0) > 0]
    return [turn[target.side] / turn[target.other] for turn in both]


def judged(scenario: Scenario, target: Target, runs: Sequence[Record]) -> tuple[Interval | None, Verdict, str]:
    """Interval, verdict, and why there is none or not yet one."""
    found = values(scenario, target, runs)
    if not found:
        sides = [name for name in (target.side, target.other) if name is not None]
        reasons = [f"{one['side']}: {measure.trouble(one)}" for one in runs if one["side"] in sides and measure.trouble(one)]
        return None, Verdict.NO_FIGURE, reasons[-1] if reasons else "not measured"
    interval = median_interval(found)
    verdict, notes = target.verdict(interval), []
    if interval.count < ROUNDS_MIN:
        notes.append(f"rounds: {interval.count}, wanted are {ROUNDS_MIN}")
    # Rounds in which we failed are not forgiven for the others.
    for name in (target.side, target.other):
        tried = [one for one in runs if one["side"] == name] if name and scenario.side(name).server == OURS else []
        failed = len(tried) - len(good(tried))
        if failed:
            notes.append(f"{failed} of {len(tried)} runs of {name} do not count")
            verdict = Verdict.NOT_YET if verdict is Verdict.MET else verdict
    if generator_bound(target, runs):
        notes.append(f"generator-bound: both servers below {BUSY_PERCENT:.0f} % CPU")
    return interval, verdict, "; ".join(notes)


def generator_bound(target: Target, runs: Sequence[Record]) -> bool:
    """Whether a ratio of rates says little about the servers, for neither was busy."""
    if target.key not in _RATES or target.other is None:
        return False
    busy = [[number(one, "server_cpu_percent") for one in good(runs) if one["side"] == name] for name in (target.side, target.other)]
    known = [[value for value in side if value is not None] for side in busy]
    return all(side and median_interval(side).median < BUSY_PERCENT for side in known)


def uncounted(scenario: Scenario, runs: Sequence[Record]) -> list[str]:
    """Who took part and has not one run that counts, and why."""
    sides: dict[str, list[Record]] = {}
    for one in runs:
        name = f"{one['side']} beside {one['other_side']}" if "other_side" in one else str(one["side"])
        sides.setdefault(name, []).append(one)
    return [f"{scenario.name}, {name}: no run counts: {' '.join(measure.trouble(tried[-1]).split())[:300]}" for name, tried in sides.items() if not good(tried)]


def _cell(text: str) -> str:
    """A text that keeps a table whole."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())[:300]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 100 else f"{value:.3f}"


def target_rows(scenario: Scenario, runs: Sequence[Record]) -> list[str]:
    """A row of the table of targets for each of the scenario's."""
    rows = []
    for target in scenario.targets:
        interval, verdict, note = judged(scenario, target, runs)
        said = f"**{verdict.value}**" + (f" ({_cell(note)})" if note else "")
        times = f" x {target.other}" if target.other else ""
        wanted = f"{target.key} {target.relation} {target.bound:g}{times}"
        figure = [_figure(interval.median), f"{_figure(interval.low)} to {_figure(interval.high)}", str(interval.count)] if interval else ["-", "-", "0"]
        rows.append(_row([scenario.name, f"{target.side}: `{wanted}`", *figure, said]))
    return rows


def _columns(scenario: Scenario, runs: Sequence[Record]) -> tuple[tuple[str, str, str], ...]:
    if scenario.tool == "start":
        return _START
    kind = next((str(one["scenario"]) for one in runs if "scenario" in one), "")
    return tuple(column for column in _COLUMNS.get(kind, ()) if any(number(one, column[1]) for one in runs))


def _middle(runs: Sequence[Record], key: str, form: str) -> str:
    found = [value for value in (number(one, key) for one in runs) if value is not None]
    return format(median_interval(found).median, form) if found else "-"


def side_table(scenario: Scenario, runs: Sequence[Record]) -> list[str]:
    """Medians of each side."""
    columns = _columns(scenario, runs)
    lines = [_row(["side", "version", *(heading for heading, _, _ in columns), "runs that count", "what went wrong"])]
    lines.append(_row(["---"] * (len(columns) + 4)))
    for side in scenario.sides:
        ours = [one for one in runs if one["side"] == side.name]
        if ours:
            counted = good(ours)
            version = next((str(one["server_version"]) for one in ours if "server_version" in one), "-")
            troubles = dict.fromkeys(text for text in map(measure.trouble, ours) if text)
            cells = [side.name, version, *(_middle(counted, key, form) for _, key, form in columns)]
            lines.append(_row([*cells, f"{len(counted)} of {len(ours)}", _cell("; ".join(troubles)) or "-"]))
    return lines


def pair_table(runs: Sequence[Record]) -> list[str]:
    """Both sides of each pair of perf/floor."""
    headings = ["one", "version", "other", "version", "us CPU a delivery", "other's", "bytes", "other's", "rounds", "what went wrong"]
    lines = [_row(headings), _row(["---"] * len(headings))]
    for one in runs:
        sides = [one.get("one"), one.get("other")]
        figures = []
        for key in ("cpu_us_per_delivery", "bytes_per_delivery"):
            for side in sides:
                value = side.get(key) if isinstance(side, dict) else None
                value = value.get("median") if isinstance(value, dict) else value
                figures.append(f"{value:.3f}" if isinstance(value, int | float) else "-")
        rounds = one.get("rounds")
        count = str(len(rounds)) if isinstance(rounds, list) else "0"
        versions = [str(one.get(key, "-")) for key in ("server_version", "other_version")]
        lines.append(_row([str(one["side"]), versions[0], str(one["other_side"]), versions[1], *figures, count, _cell(measure.trouble(one)) or "-"]))
    return lines


def section(scenario: Scenario, runs: Sequence[Record]) -> list[str]:
    """All about one scenario."""
    lines = [f"### {scenario.name}", "", scenario.what, ""]
    lines += pair_table(runs) if scenario.tool == "floor" else side_table(scenario, runs)
    lines += ["", "```text", *commands(f"perf/run --only {scenario.name}", runs), "```"]
    limits = dict.fromkeys(f"`{one['server_start'] or 'one core'}`: {one['server_limits']}" for one in runs if one.get("server_limits"))
    if limits:
        lines += ["", f"Limits that pushletd said it had: {'; '.join(limits)}."]
    sets = sorted({f"{one['set']}, commit {one['commit']}, build {one.get('pushletd_build', 'unknown')}, load average {_loads(runs)}" for one in runs})
    return [*lines, "", f"Measured {'; '.join(sets)}.", ""]


def commands(again: str, runs: Sequence[Record]) -> list[str]:
    """How it is all measured again, how the servers were started and bound, and what the first round ran."""
    first = [one for one in runs if one["round"] == 1]
    keys = ("server_command", "other_command", "command")
    return list(dict.fromkeys([again, *(str(one[key]) for key in keys for one in first if key in one)]))


def _loads(runs: Sequence[Record]) -> str:
    loads = [value for value in (number(one, "load_average") for one in runs) if value is not None]
    return f"{min(loads):.1f} to {max(loads):.1f}" if loads else "unknown"


def wrk_lines(runs: Sequence[Record]) -> tuple[list[str], list[str]]:
    """Rows of the table of targets, and the section, for what wrk measured."""
    import wrk  # (its runs may be absent, and then it is not needed)

    rows, lines = [], ["### wrk", "", "Control requests by wrk, beside nginx whose answer is `return 200`.", ""]
    lines += [_row(["scenario", "pushletd requests/s", "nginx", "pushletd us CPU", "nginx", "pairs"]), _row(["---"] * 6)]
    for row in wrk.summary(runs):
        cells = []
        for key in ("requests_per_second", "server_cpu_us_per_request"):
            for server in ("pushletd", "nginx"):
                found = row.get(f"{server}_{key}")
                cells.append(_figure(found[0]) if isinstance(found, tuple) else "-")
        lines.append(_row([str(row["scenario"]), *cells, str(row["pairs"])]))
        for key in ("rate_ratio", "capacity_ratio"):
            found = row.get(key)
            if isinstance(found, tuple):
                figure = [_figure(found[0]), f"{_figure(found[1])} to {_figure(found[2])}", str(row["pairs"])]
                wanted = f"`{key} >= {wrk.RATIO_MIN:g} x nginx`"
                rows.append(_row([f"wrk {row['scenario']}", wanted, *figure, f"**{_cell(wrk.verdict(row))}** (both ratios)"]))
    return rows, [*lines, "", "```text", *commands("perf/run wrk", runs), "```", ""]


def written(scenarios: Sequence[Scenario], cases: dict[str, list[Record]]) -> str:
    """The figures as Markdown."""
    rows: list[str] = []
    sections: list[str] = []
    for scenario in scenarios:
        runs = cases.get(scenario.name, [])
        rows += target_rows(scenario, runs)
        if runs:
            sections += section(scenario, runs)
    if "wrk" in cases:
        more, lines = wrk_lines(cases["wrk"])
        rows += more
        sections += lines
    machines = dict.fromkeys(str(one["machine"]) for runs in cases.values() for one in runs)
    heading = [_row(["scenario", "target", "median", "95 % interval", "rounds", "verdict"]), _row(["---"] * 6)]
    return "\n".join(
        [
            *(f"Machine: {machine}." for machine in machines),
            "",
            "A ratio is taken in each round, in which the servers take turns; the figure is the median of the rounds, with an interval that holds the true"
            " median in 95 % of all cases or more (order statistics; a verdict takes seven rounds). A target is met when the whole interval is"
            " within the bound, missed when all of it is beyond, and otherwise not yet met. Runs of pushletd in which anything was lost or dropped do not count, and"
            " with one of them no target that it has part in is met; runs of peers count"
            " all the same if nearly all sessions were open, and their faults are told. CPU % is of the server: where it is"
            " far below 100 in a saturated scenario, the load generator on the other core was the slower one: a rate is called generator-bound where"
            " both servers were, and then the processor time of a delivery tells them apart.",
            "",
            "## Targets",
            "",
            *heading,
            *rows,
            "",
            "## Figures",
            "",
            *sections,
        ]
    ).rstrip()


def put(page: Path, figures: str) -> None:
    """Writes the figures into the page, between its two marks; what people wrote around them stays."""
    text = page.read_text(encoding="utf-8") if page.exists() else f"# Results\n\n{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: the marks `{BEGIN}` and `{END}` are missing; put both where the figures go")
    page.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}", encoding="utf-8")
