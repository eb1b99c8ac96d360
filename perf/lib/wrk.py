"""Control requests by wrk: pushletd and nginx's `return 200` in turn, one core for the server and one for wrk.

`run(context)` is called by `perf/run wrk`. By itself:  python3 perf/lib/wrk.py --pushletd PATH [--rounds N] [--seconds N] [--only NAME...]

Of each run two things are taken: right answers a second, and the server's processor time for each. The first says nothing about the server when
wrk is the slower one, which `server_busy` shows; the second holds in both cases. Answers are checked in the Lua scripts: a wrong one makes the
run no good, and its round gives no ratio.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import processes

PERF = Path(__file__).resolve().parent.parent
READY_SECONDS = 20.0
ROUNDS, SECONDS, CONNECTIONS = 7, 5, 64
QUICK_ROUNDS, QUICK_SECONDS = 3, 2
RATIO_MIN, PAIRS_MIN = 0.8, 7
# As long as a session's id, so that both servers get the same bytes.
SOME_ID = "AAAAAAAAAAAAAAAAAAAAAAAA"


class Context(Protocol):
    """What `perf/run` gives. `rounds` and `seconds` may be absent or None, `quick` and `only` too."""

    pushletd: Path

    def record(self, run: dict[str, object]) -> None:
        """Keeps one run."""

    def say(self, text: str) -> None:
        """Tells people."""


@dataclass(frozen=True)
class Scenario:
    """What wrk asks for. `against`: the words by which nginx gets the same requests; without them there is nothing to compare with."""

    name: str
    what: str
    script: str
    words: tuple[str, ...] = ()
    against: tuple[str, ...] | None = None


_BARE = (f"id={SOME_ID}", "mark=ok")
SCENARIOS = (
    Scenario("hb", "heartbeats (p_event=hb)", "control.lua", ("what=hb",), ("what=hb", *_BARE)),
    Scenario("publish-nobody", "publishes that nobody listens to (p_event=publish)", "control.lua", ("what=publish",), ("what=publish", *_BARE)),
    Scenario("refresh", "refreshes of a poll session (p_event=refresh)", "control.lua", ("what=refresh",), ("what=refresh", *_BARE)),
    Scenario("publish-v1", "POST /v1/publish that nobody listens to", "publish.lua", (), ("status=200", "mark=ok")),
    Scenario("churn", "join, then leave", "churn.lua"),
    Scenario("churn-listen", "join-listen (poll), then leave", "churn.lua", ("subject=/wrk/churn",)),
    Scenario("pull", "pull cycle: refresh that waits, publish to it", "pull.lua"),
)


@dataclass
class Server:
    """A server that runs on a core of its own."""

    name: str
    version: str
    url: str
    pids: list[int]
    child: subprocess.Popen[bytes] = field(repr=False)


def pinned(core: int) -> list[str]:
    """Words before a command that bind it to a core, none where that cannot be done or would share the only core."""
    cores = sorted(os.sched_getaffinity(0))
    if shutil.which("taskset") is None or len(cores) < 2:
        return []
    return ["taskset", "--cpu-list", str(cores[core % len(cores)])]


def _started(words: list[str | Path], said: Path, ready: Callable[[str], Server | None]) -> Server:
    """Starts a server and waits until what it prints says where it is."""
    with said.open("wb") as output:
        child = processes.start([*pinned(0), *words], stdout=output, stderr=subprocess.STDOUT)
    server: Server | None = None

    def come() -> bool:
        nonlocal server
        text = said.read_text(encoding="utf-8", errors="replace")
        if child.poll() is not None:
            raise RuntimeError(f"{words[0]} ended with {child.returncode}:\n{text[-2000:]}")
        server = ready(text)
        return server is not None

    try:
        processes.wait_until(f"{words[0]} listens", READY_SECONDS, come)
    except BaseException:
        processes.end(child)
        raise
    assert server is not None
    server.child, server.pids = child, server.pids or [child.pid]
    return server


def start_pushletd(program: Path, folder: Path) -> Server:
    """pushletd with one core, no matter how many there are."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout.split()[-1]

    def ready(text: str) -> Server | None:
        found = re.search(r"^listening on (http://\S+)", text, re.MULTILINE)
        return Server("pushletd", version, found[1], [], None) if found else None  # type: ignore[arg-type]

    return _started([program, "--listen", "127.0.0.1:0", "--admin", "off", "--cores", "1"], folder / "pushletd.log", ready)


def start_nginx(folder: Path) -> Server:
    """nginx with one worker, whose only answer is `return 200`."""

    def ready(text: str) -> Server | None:
        for line in text.splitlines():
            if line.startswith("{") and line.endswith("}"):
                told = json.loads(line)
                return Server("nginx", str(told["version"]), str(told["url"]), list(told["pids"]), None)  # type: ignore[arg-type]
        return None

    return _started([PERF / "peers" / "serve", "nginx", "--cores", "1"], folder / "nginx.log", ready)


def command(scenario: Scenario, server: Server, seconds: int) -> list[str]:
    """The command line of wrk."""
    parts = urlsplit(server.url)
    words = scenario.words if server.name == "pushletd" else scenario.against or ()
    line = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--timeout", "10s"]
    return [*pinned(1), *line, "--script", str(PERF / "wrk" / scenario.script), f"{parts.scheme}://{parts.netloc}", "--", *words]


def told(said: str) -> dict[str, object]:
    """The JSON object that the Lua script printed at its end.

    Raises ValueError with wrk's words if there is none.
    """
    for line in said.splitlines():
        if line.startswith("json: "):
            return dict(json.loads(line.removeprefix("json: ")))
    raise ValueError(f"wrk printed no account:\n{said[-2000:]}")


def _waited(child: subprocess.Popen[str]) -> tuple[str, float]:
    """What a child printed, and its processor time."""
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"wrk ended with {child.returncode}:\n{said[-2000:]}")
    return said, usage.ru_utime + usage.ru_stime


def measure(scenario: Scenario, server: Server, seconds: int, number: int) -> dict[str, object]:
    """One run of wrk against one server."""
    words = command(scenario, server, seconds)
    before, begin = processes.cpu_seconds(server.pids), time.monotonic()
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    said, own = _waited(child)
    wall, spent = time.monotonic() - begin, processes.cpu_seconds(server.pids) - before
    account = told(said)
    answers = int(str(account["right"])) + int(str(account["joined"])) * (scenario.script == "control.lua")
    good = account["wrong"] == 0 and account["broken"] == 0 and answers > 0
    return {
        "tool": "wrk",
        "scenario": scenario.name,
        "what": scenario.what,
        "server": server.name,
        "server_version": server.version,
        "round": number,
        "connections": CONNECTIONS,
        "pinned": bool(pinned(0)),
        **account,
        "server_cpu_us_per_request": spent / answers * 1e6 if answers else None,
        "server_busy": spent / wall,
        "generator_busy": own / wall,
        "good": good,
        "command": " ".join(_shown(word) for word in words),
    }


def _shown(word: str) -> str:
    """A word as people type it at the root of the project."""
    return word.replace(str(PERF.parent) + "/", "")


def median_interval(values: Iterable[float]) -> tuple[float, float, float]:
    """The median, and the order statistics that hold the true one in 95 % of all cases or more; of five values or fewer, all of them."""
    ordered = sorted(values)
    count = len(ordered)
    if count == 0:
        raise ValueError("a median of nothing")
    median = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    # The chance that at most `rank` of the values are below the true median.
    chance, total, rank = 0.5**count, 0.0, 0
    while total + chance <= 0.025 and rank < count // 2:
        total += chance
        chance *= (count - rank) / (rank + 1)
        rank += 1
    low = max(rank - 1, 0)
    return median, ordered[low], ordered[count - 1 - low]


def summary(runs: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Of each scenario: medians of both servers and of the ratios of rounds in which both were good."""
    by_name: dict[str, dict[int, dict[str, dict[str, object]]]] = {}
    for one in runs:
        by_name.setdefault(str(one["scenario"]), {}).setdefault(int(str(one["round"])), {})[str(one["server"])] = one
    return [{"scenario": name, **_summary(list(rounds.values()))} for name, rounds in by_name.items()]


def _summary(rounds: list[dict[str, dict[str, object]]]) -> dict[str, object]:
    found: dict[str, object] = {"bad": sum(not one["good"] for both in rounds for one in both.values())}
    for server in ("pushletd", "nginx"):
        good = [both[server] for both in rounds if server in both and both[server]["good"]]
        for key in ("requests_per_second", "server_cpu_us_per_request", "server_busy", "generator_busy"):
            if good:
                found[f"{server}_{key}"] = median_interval(float(str(one[key])) for one in good)
    pairs = [both for both in rounds if len(both) == 2 and all(one["good"] for one in both.values())]
    for name, key, above, below in (
        ("rate_ratio", "requests_per_second", "pushletd", "nginx"),
        ("capacity_ratio", "server_cpu_us_per_request", "nginx", "pushletd"),
    ):
        if pairs:
            found[name] = median_interval(float(str(both[above][key])) / float(str(both[below][key])) for both in pairs)
    found["pairs"] = len(pairs)
    return found


def verdict(row: dict[str, object]) -> str:
    """Whether the target is met: both ratios have to be above it, for wrk as the slower one makes the rates alike, and only they."""
    if int(str(row["pairs"])) < PAIRS_MIN:
        return f"not yet met: {row['pairs']} pairs, and a verdict takes {PAIRS_MIN}"
    bounds = [row["rate_ratio"], row["capacity_ratio"]]
    if all(low >= RATIO_MIN for _, low, _ in bounds):  # type: ignore[misc]
        return "met"
    return "missed" if any(high < RATIO_MIN for _, _, high in bounds) else "not yet met"  # type: ignore[misc]


def _told(row: dict[str, object]) -> str:
    """A row of the summary in words."""

    def shown(key: str, form: str) -> str:
        value = row.get(key)
        return "-" if value is None else " ".join(format(part, form) for part in value)  # type: ignore[attr-defined]

    lines = [f"{row['scenario']}: (median, low, high)"]
    for server in ("pushletd", "nginx"):
        if f"{server}_server_busy" in row:
            lines.append(
                f"    {server:9} {shown(f'{server}_requests_per_second', '.0f')} requests/s;"
                f" {shown(f'{server}_server_cpu_us_per_request', '.2f')} us CPU a request;"
                f" server busy {shown(f'{server}_server_busy', '.2f')}, wrk busy {shown(f'{server}_generator_busy', '.2f')}"
            )
    if "rate_ratio" in row:
        lines.append(f"    requests/s: {shown('rate_ratio', '.3f')} x nginx; requests for each second of processor time: {shown('capacity_ratio', '.3f')} x nginx")
        lines.append(f"    target, both at least {RATIO_MIN}: {verdict(row)} ({row['pairs']} pairs)")
    if row["bad"]:
        lines.append(f"    {row['bad']} runs had wrong answers or broken connections and do not count")
    return "\n".join(lines)


def run(context: Context) -> bool:
    """All scenarios in rounds, both servers of a round in turn, the order alternating; every run goes to `context.record`.

    Returns whether all answers of all runs were right. Raises OSError, RuntimeError, TimeoutError or ValueError if a program is missing or fails.
    """
    quick = bool(getattr(context, "quick", False))
    rounds = getattr(context, "rounds", None) or (QUICK_ROUNDS if quick else ROUNDS)
    seconds = getattr(context, "seconds", None) or (QUICK_SECONDS if quick else SECONDS)
    only = getattr(context, "only", None) or [scenario.name for scenario in SCENARIOS]
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is missing: apt-get install wrk")
    context.say("the server on the first core, wrk on the second" if pinned(0) else "nothing is bound to a core: server and wrk take from each other")
    runs: list[dict[str, object]] = []
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="pushletd-wrk-") as folder:
        try:
            servers.append(start_pushletd(Path(context.pushletd), Path(folder)))
            servers.append(start_nginx(Path(folder)))
            for scenario in SCENARIOS:
                if scenario.name in only:
                    runs.extend(_rounds(context, scenario, servers, rounds, seconds))
        finally:
            for server in servers:
                processes.end(server.child)
    return all(one["good"] for one in runs)


def _rounds(context: Context, scenario: Scenario, servers: list[Server], rounds: int, seconds: int) -> list[dict[str, object]]:
    """The rounds of one scenario, told at its end."""
    runs = []
    taking_part = servers if scenario.against is not None else servers[:1]
    for number in range(1, rounds + 1):
        for server in taking_part if number % 2 else reversed(taking_part):
            one = measure(scenario, server, seconds, number)
            context.record(one)
            runs.append(one)
            if not one["good"]:
                context.say(f"{scenario.name}, {server.name}: {one['wrong']} wrong answers, {one['broken']} broken connections; {one['first_wrong']}")
    for row in summary(runs):
        context.say(_told(row))
    return runs


class _Alone:
    """The context of the command line."""

    def __init__(self, words: argparse.Namespace) -> None:
        self.pushletd, self.rounds, self.seconds, self.only = words.pushletd, words.rounds, words.seconds, words.only

    def record(self, one: dict[str, object]) -> None:
        print(json.dumps(one), flush=True)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pushletd", type=Path, required=True, help="a release build")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each run")
    parser.add_argument("--only", nargs="+", choices=[scenario.name for scenario in SCENARIOS])
    try:
        return 0 if run(_Alone(parser.parse_args())) else 1
    except (OSError, RuntimeError, TimeoutError, ValueError) as error:
        print(f"wrk: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
