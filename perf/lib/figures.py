"""Medians with an interval, and what they say about a target."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

# A verdict takes so many values: the extremes of seven hold the median in 98 % of all cases, those of five in less than 95 %.
ROUNDS_MIN = 7


@dataclass(frozen=True)
class Interval:
    """A median, and the order statistics that hold the true one in 95 % of all cases or more; of five values or fewer, the extremes."""

    median: float
    low: float
    high: float
    count: int


def median_interval(values: Iterable[float]) -> Interval:
    """The interval of the values, as perf/floor takes it. Nothing is assumed about how they are distributed.

    Raises ValueError if there are none.
    """
    ordered = sorted(values)
    count = len(ordered)
    if count == 0:
        raise ValueError("no values, no median")
    median = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    # The chance that at most `rank` of the values are below the true median.
    chance, total, rank = 0.5**count, 0.0, 0
    while total + chance <= 0.025 and rank < count // 2:
        total += chance
        chance *= (count - rank) / (rank + 1)
        rank += 1
    low = max(rank - 1, 0)
    return Interval(median, ordered[low], ordered[count - 1 - low], count)


class Verdict(Enum):
    """What the figures say about a target."""

    MET = "met"
    NOT_YET = "not yet met"
    MISSED = "missed"
    NO_FIGURE = "no figure"


@dataclass(frozen=True)
class Target:
    """`SIDE: KEY RELATION BOUND`, or `... BOUND x OTHER`, which is a ratio taken in each round."""

    side: str
    key: str
    relation: str
    bound: float
    other: str | None

    def __str__(self) -> str:
        times = f" x {self.other}" if self.other else ""
        return f"{self.side}: {self.key} {self.relation} {self.bound:g}{times}"

    def holds(self, value: float) -> bool:
        """Whether the value is on the right side of the bound."""
        match self.relation:
            case "<=":
                return value <= self.bound
            case "<":
                return value < self.bound
            case ">=":
                return value >= self.bound
            case _:
                return value > self.bound

    def verdict(self, interval: Interval) -> Verdict:
        """All of the interval within the bound is met, all beyond is missed. Between, and with too few rounds, it is not yet met."""
        ends = {self.holds(interval.low), self.holds(interval.high)}
        enough = interval.count >= ROUNDS_MIN
        if not enough or len(ends) > 1:
            return Verdict.NOT_YET
        return Verdict.MET if ends == {True} else Verdict.MISSED


_TARGET = re.compile(r"(?P<side>[^:]+): (?P<key>[a-z0-9_]+) (?P<relation><=|>=|<|>) (?P<bound>\d+(?:\.\d+)?)(?: x (?P<other>.+))?")


def read_target(text: str) -> Target:
    """Reads a target.

    Raises ValueError, which says how a target is written.
    """
    found = _TARGET.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is no target; they are written `SIDE: KEY <= 1.5` or `SIDE: KEY <= 1.5 x OTHER` (also <, >=, >)")
    return Target(found["side"], found["key"], found["relation"], float(found["bound"]), found["other"])
