"""RESULTS.md: what the newest runs of each scenario come to."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import measure
from figures import RATIO_ROUNDS_MIN, ROUNDS_MIN, Interval, Target, Verdict, median_interval
from records import Record
from scenarios import OURS, Scenario

BEGIN, END = "<!-- figures: written by perf/run report -->", "<!-- end of figures -->"
PEER_OPEN_SHARE = 0.99

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
    if one.get("good") is True:
        return one.get("server") != OURS or not measure.drops(one)
    if one.get("server") == OURS or one.get("failed") or one.get("server_gone") is not False or one.get("stopped_early"):
        return False
    opened, wanted = number(one, "sessions_open"), number(one, "sessions_wanted")
    return opened is not None and wanted is not None and opened >= PEER_OPEN_SHARE * wanted


def good(runs: Iterable[Record]) -> list[Record]:
    """Those that count."""
    return [one for one in runs if counts(one)]


def values(scenario: Scenario, target: Target, runs: Sequence[Record]) -> list[float]:
    """The target's figure in each round in which all that it names were good."""
    if scenario.tool == "floor":
        pairs = [one for one in good(runs) if one["side"] == target.side and one.get("other_side") == target.other]
        return [float(turn["ratio"]) for one in pairs for turn in one["rounds"]]  # type: ignore[attr-defined]
    rounds: dict[object, dict[object, float]] = {}
    for one in good(runs):
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
    wanted = RATIO_ROUNDS_MIN if target.other else ROUNDS_MIN
    note = f"rounds: {interval.count}, wanted are {wanted}" if interval.count < wanted else ""
    return interval, target.verdict(interval), note


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
    lines = [_row(["one", "other", "us CPU a delivery", "other's", "bytes", "other's", "rounds", "what went wrong"]), _row(["---"] * 8)]
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
        lines.append(_row([str(one["side"]), str(one["other_side"]), *figures, count, _cell(measure.trouble(one)) or "-"]))
    return lines


def section(scenario: Scenario, runs: Sequence[Record]) -> list[str]:
    """All about one scenario."""
    lines = [f"### {scenario.name}", "", scenario.what, ""]
    lines += pair_table(runs) if scenario.tool == "floor" else side_table(scenario, runs)
    commands = dict.fromkeys(str(one["command"]) for one in runs if "command" in one and one["round"] == 1)
    if commands:
        lines += ["", "```text", *commands, "```"]
    limits = dict.fromkeys(f"`{one['server_start'] or 'one core'}`: {one['server_limits']}" for one in runs if one.get("server_limits"))
    if limits:
        lines += ["", f"Limits that pushletd said it had: {'; '.join(limits)}."]
    sets = sorted({f"{one['set']}, commit {one['commit']}, build {one.get('pushletd_build', 'unknown')}, load average {_loads(runs)}" for one in runs})
    return [*lines, "", f"Measured {'; '.join(sets)}.", ""]


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
    commands = dict.fromkeys(str(one["command"]) for one in runs if one["round"] == 1)
    return rows, [*lines, "", "```text", *commands, "```", ""]


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
            " median in 95 % of all cases or more (order statistics; with fewer than six rounds the extremes). A target is met when the whole interval is"
            " within the bound, missed when all of it is beyond, and otherwise not yet met. Runs of pushletd in which anything was lost do not count; those of peers count"
            " all the same if nearly all sessions were open, and their faults are told. CPU % is of the server: where it is"
            " far below 100 in a saturated scenario, the load generator on the other core was the slower one.",
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
