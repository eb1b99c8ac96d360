"""What is kept of a run: one line of JSON, with the machine, the commit and the command."""

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from servers import ROOT

Record = dict[str, object]


def machine() -> str:
    """Processor, cores, memory and kernel in words."""
    model = re.search(r"^model name\s*: (.*)$", _text("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    gib = round(int(memory[1]) / 1024**2) if memory else 0
    return f"{model[1].strip() if model else platform.machine()}, {os.cpu_count()} cores, {gib} GiB, Linux {platform.release()}"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def commit() -> str:
    """The commit of the work tree, with a + if there is more than it in the sources."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD").strip()
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "src", "Cargo.toml", "Cargo.lock", "perf/floor.rs", "perf/floor")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + "+" * bool(changed.strip())


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True).stdout


def digest(program: Path) -> str:
    """Which build it was: the beginning of its SHA-256."""
    return hashlib.sha256(program.read_bytes()).hexdigest()[:12]


def shown(words: Sequence[str | Path], names: dict[str, str]) -> str:
    """A command as people type it at the root of the project: programs by their names, paths from the root."""
    parts = [names.get(str(word), str(word).replace(f"{ROOT}/", "")) for word in words]
    return " ".join(parts)


@dataclass
class Recorder:
    """Appends runs to files of a folder. All runs of one start of perf/run are of one set."""

    folder: Path
    facts: Record
    kept: list[Record] = field(default_factory=list)

    @classmethod
    def begin(cls, folder: Path, pushletd: Path) -> "Recorder":
        """A new set."""
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        facts = {"set": now, "machine": machine(), "commit": commit(), "pushletd_build": digest(pushletd)}
        return cls(folder, facts)

    def record(self, case: str, one: Record) -> Record:
        """Keeps a run, and returns it with what all runs of the set have."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        full = {"case": case, **self.facts, "date": now, "load_average": round(os.getloadavg()[0], 2), **one}
        # Where the project lies is nobody's business, and errors tell it.
        line = json.dumps(full, sort_keys=True).replace(f"{ROOT}/", "")
        with (self.folder / f"{case}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self.kept.append(full)
        return full


def read(paths: Iterable[Path]) -> list[Record]:
    """All runs of the files.

    Raises ValueError with file and line where one is no JSON object.
    """
    found = []
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                one = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number}: {error}") from error
            if not isinstance(one, dict) or "case" not in one or "set" not in one:
                raise ValueError(f"{path}:{number}: this is no run of perf/run")
            found.append(one)
    return found


def newest(runs: Iterable[Record]) -> dict[str, list[Record]]:
    """Of each case, the runs of its newest set: figures of different sets do not mix."""
    cases: dict[str, list[Record]] = {}
    for one in runs:
        cases.setdefault(str(one["case"]), []).append(one)
    latest = {case: max(str(one["set"]) for one in alike) for case, alike in cases.items()}
    return {case: [one for one in alike if one["set"] == latest[case]] for case, alike in cases.items()}
