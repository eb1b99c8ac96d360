"""The page of results, and the records that it is made from."""

import json
import tempfile
import unittest
from pathlib import Path

import measure
import records
import report
import test_scenarios
from figures import Verdict
from scenarios import Scenario, read

FACTS = {"case": "one", "set": "2026-01-02T00:00:00Z", "machine": "a machine", "commit": "abc", "tool": "bench", "scenario": "fan-out"}


def sample(text: str = test_scenarios.GOOD) -> Scenario:
    """The scenario of the other test, read from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.toml"
        path.write_text(text, encoding="utf-8")
        return read(path)


def run(side: str, number: int, rate: float, **more: object) -> records.Record:
    return {**FACTS, "side": side, "round": number, "good": True, "deliveries_per_second": rate, "server_version": "1.2", "command": f"bench {side}", **more}


def rounds(ours: list[float], theirs: list[float]) -> list[records.Record]:
    """Rounds of both sides."""
    first = [run("ws", number, rate) for number, rate in enumerate(ours, 1)]
    return first + [run("uws", number, rate) for number, rate in enumerate(theirs, 1)]


class Judged(unittest.TestCase):
    def setUp(self) -> None:
        self.scenario = sample()
        self.target = self.scenario.targets[0]

    def test_a_ratio_is_of_its_round(self) -> None:
        # Both drift together: medians of each would hide nothing here, ratios are 2 in each round.
        runs = rounds([2, 4, 6, 8, 10, 12, 14], [1, 2, 3, 4, 5, 6, 7])
        interval, verdict, note = report.judged(self.scenario, self.target, runs)
        assert interval is not None
        self.assertEqual((interval.low, interval.high, verdict, note), (2.0, 2.0, Verdict.MET, ""))

    def test_a_bad_run_takes_its_round_away(self) -> None:
        runs = rounds([2] * 7, [1] * 7)
        runs[3].update(good=False, lost=5)
        interval, verdict, note = report.judged(self.scenario, self.target, runs)
        assert interval is not None
        self.assertEqual((interval.count, verdict, note), (6, Verdict.NOT_YET, "rounds: 6, wanted are 7; 1 of 7 runs of ws do not count"))

    def test_a_round_in_which_we_failed_is_not_forgiven(self) -> None:
        runs = rounds([2] * 9, [1] * 9)
        self.assertIs(report.judged(self.scenario, self.target, runs)[1], Verdict.MET)
        runs[3].update(server="pushletd", told_missing=5)
        _, verdict, note = report.judged(self.scenario, self.target, runs)
        self.assertEqual((verdict, note), (Verdict.NOT_YET, "1 of 9 runs of ws do not count"))
        # What a peer fails in is told with it, and takes nothing from us.
        runs = rounds([2] * 9, [1] * 9)
        runs[-1].update(server="uws", failed="no answer", good=False)
        self.assertEqual(report.judged(self.scenario, self.target, runs)[1:], (Verdict.MET, ""))
        # Missed stays missed.
        runs = rounds([1] * 9, [2] * 9)
        runs[3].update(server="pushletd", good=False)
        self.assertIs(report.judged(self.scenario, self.target, runs)[1], Verdict.MISSED)

    def test_faults_are_judged_in_all_rounds(self) -> None:
        scenario = sample(test_scenarios.GOOD.replace("deliveries_per_second > 1 x uws", "lost <= 0"))
        runs = [run("ws", number, 1.0, lost=0) for number in range(1, 8)]
        self.assertEqual(report.judged(scenario, scenario.targets[0], runs)[1:], (Verdict.MET, ""))
        for one in runs[:3]:
            one.update(good=False, lost=9)
        interval, verdict, _ = report.judged(scenario, scenario.targets[0], runs)
        assert interval is not None
        self.assertEqual((interval.high, interval.count, verdict), (9, 7, Verdict.NOT_YET))
        for one in runs:
            one.update(good=False, lost=9)
        self.assertIs(report.judged(scenario, scenario.targets[0], runs)[1], Verdict.MISSED)

    def test_rates_of_servers_that_wait_for_the_generator_are_marked(self) -> None:
        runs = rounds([2] * 7, [1] * 7)
        for one in runs:
            one["server_cpu_percent"] = 89.0
        interval, verdict, note = report.judged(self.scenario, self.target, runs)
        self.assertEqual((verdict, note), (Verdict.MET, "generator-bound: both servers below 90 % CPU"))
        for one in runs[:7]:
            one["server_cpu_percent"] = 91.0
        self.assertEqual(report.judged(self.scenario, self.target, runs)[2], "")

    def test_sides_without_a_run_that_counts_are_named(self) -> None:
        runs = [run("ws", 1, 2.0, good=False, lost=3), run("ws", 2, 2.0), run("uws", 1, 1.0, good=False, failed="no module")]
        self.assertEqual(report.uncounted(self.scenario, runs), ["one, uws: no run counts: no module"])
        pair = [{**runs[2], "side": "ws", "other_side": "uws"}]
        self.assertEqual(report.uncounted(self.scenario, pair), ["one, ws beside uws: no run counts: no module"])

    def test_who_cannot_do_it_is_no_figure_and_says_why(self) -> None:
        runs = [run("ws", 1, 2.0), {**FACTS, "side": "uws", "round": 1, "good": False, "failed": "no memory"}]
        self.assertEqual(report.judged(self.scenario, self.target, runs), (None, Verdict.NO_FIGURE, "uws: no memory"))
        self.assertEqual(report.judged(self.scenario, self.target, [])[1:], (Verdict.NO_FIGURE, "not measured"))

    def test_a_peer_with_few_faults_counts_and_we_do_not(self) -> None:
        faults: records.Record = {"good": False, "connections_broken": 1, "server_gone": False, "sessions_open": 100, "sessions_wanted": 100}
        self.assertTrue(report.counts({"server": "pushpin", **faults}))
        self.assertFalse(report.counts({"server": "pushletd", **faults}))
        self.assertFalse(report.counts({"server": "pushpin", **faults, "sessions_open": 98}))
        self.assertFalse(report.counts({"server": "pushpin", **faults, "server_gone": True}))
        self.assertFalse(report.counts({"server": "pushpin", **faults, "failed": "not done"}))
        self.assertFalse(report.counts({"server": "pushpin", "good": True, "stopped_early": True}))
        self.assertEqual(measure.trouble({"good": True, "stopped_early": True}), "stopped early")

    def test_what_we_drop_and_tell_does_not_count_either(self) -> None:
        self.assertTrue(report.counts({"server": "pushletd", "good": True, "told_missing": 0}))
        for key in measure.DROPS:
            self.assertFalse(report.counts({"server": "pushletd", "good": True, key: 1}), key)
            self.assertEqual(measure.trouble({"server": "pushletd", "good": True, key: 1}), f"{key} 1")
            self.assertTrue(report.counts({"server": "uws", "good": True, key: 1}), key)

    def test_a_null_is_no_figure(self) -> None:
        runs = rounds([2] * 7, [1] * 7)
        for one in runs:
            one["deliveries_per_second"] = None
        self.assertIs(report.judged(self.scenario, self.target, runs)[1], Verdict.NO_FIGURE)

    def test_pairs_of_the_floor_bring_their_rounds(self) -> None:
        text = test_scenarios.GOOD.replace('"bench"', '"floor"').replace("deliveries_per_second > 1", "server_cpu_us_per_delivery <= 0.9")
        scenario = sample(text)
        one = {**FACTS, "side": "ws", "other_side": "uws", "round": 1, "good": True, "rounds": [{"ratio": 0.5}, {"ratio": 0.7}, {"ratio": 0.6}]}
        self.assertEqual(report.values(scenario, scenario.targets[0], [one]), [0.5, 0.7, 0.6])
        self.assertEqual(report.values(scenario, scenario.targets[0], [{**one, "good": False}]), [])


class Page(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.page = Path(folder.name) / "RESULTS.md"

    def test_tables_hold_medians_verdicts_commands_and_troubles(self) -> None:
        runs = rounds([2000] * 7, [1000] * 7)
        runs[0].update(good=False, lost=5)
        for one in runs:
            one["server_command"] = "taskset --cpu-list 0 perf/peers/serve uws"
        runs[1].update(server_start="--cores 2", server_limits="19932 connections")
        text = report.written([sample()], {"one": runs})
        for part in ("| one | ws: `deliveries_per_second > 1 x uws` | 2.000 | 2.000 to 2.000 | 6 |", "| ws | 1.2 | 2,000 | 6 of 7 | lost 5 |", "perf/run --only one\ntaskset --cpu-list 0 perf/peers/serve uws\nbench ws\nbench uws\n", "a machine", "`--cores 2`: 19932 connections"):
            self.assertIn(part, text)

    def test_a_table_stays_whole(self) -> None:
        runs = [{**FACTS, "side": "ws", "round": 1, "good": False, "failed": "a | b\n<c>"}]
        self.assertIn("| a \\| b &lt;c> |", report.written([sample()], {"one": runs}))

    def test_what_people_wrote_stays(self) -> None:
        report.put(self.page, "first")
        text = self.page.read_text(encoding="utf-8")
        self.page.write_text(f"{text}\nwhat was tried\n", encoding="utf-8")
        report.put(self.page, "second")
        text = self.page.read_text(encoding="utf-8")
        self.assertTrue(text.startswith("# Results"))
        self.assertIn("what was tried", text)
        self.assertIn("second", text)
        self.assertNotIn("first", text)

    def test_a_page_without_marks_is_not_overwritten(self) -> None:
        self.page.write_text("mine", encoding="utf-8")
        with self.assertRaisesRegex(ValueError, "marks"):
            report.put(self.page, "figures")
        self.assertEqual(self.page.read_text(encoding="utf-8"), "mine")


class Records(unittest.TestCase):
    def test_only_the_newest_set_of_a_case_counts(self) -> None:
        old = {**FACTS, "set": "2026-01-01T00:00:00Z"}
        other = {**old, "case": "two"}
        self.assertEqual(records.newest([FACTS, old, other]), {"one": [FACTS], "two": [other]})

    def test_what_is_recorded_can_be_read(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            recorder = records.Recorder(Path(folder), {"set": "s", "machine": "m", "commit": "c"})
            kept = recorder.record("one", {"good": True})
            recorder.record("one", {"good": False})
            found = records.read(Path(folder).glob("*.jsonl"))
            self.assertEqual([one["good"] for one in found], [True, False])
            self.assertEqual(found[0], kept)
            path = Path(folder) / "one.jsonl"
            path.write_text(json.dumps(kept) + "\n{}\n", encoding="utf-8")
            with self.assertRaisesRegex(ValueError, "one.jsonl:2"):
                records.read([path])

    def test_commands_name_no_place_of_this_machine(self) -> None:
        words = ["taskset", f"{records.ROOT}/perf/peers/serve", "/somewhere/pushletd"]
        self.assertEqual(records.shown(words, {"/somewhere/pushletd": "pushletd"}), "taskset perf/peers/serve pushletd")


class Figures(unittest.TestCase):
    def test_derived_ones(self) -> None:
        found = measure.derived({"server_bytes_per_connection": 512, "server_cpu_seconds": 1.0, "measured_seconds": 4.0, "churn_per_second": 1000.0})
        self.assertEqual(found["server_kib_per_connection"], 0.5)
        self.assertEqual(found["server_cpu_percent"], 25.0)
        self.assertEqual(found["server_cpu_us_per_cycle"], 250.0)
        self.assertIsNone(found["delivery_ms_p99"])
        self.assertIsNone(measure.derived({"server_cpu_seconds": None, "measured_seconds": 4.0})["server_cpu_percent"])

    def test_words_for_the_second_side(self) -> None:
        self.assertEqual(measure.against_words(["--dialect", "uws"]), ["--against-dialect", "uws"])
        self.assertEqual(measure.against_words(["--floor", "uring"]), ["--floor", "uring"])

    def test_troubles_are_named(self) -> None:
        self.assertEqual(measure.trouble({"good": True, "lost": 0}), "")
        self.assertEqual(measure.trouble({"good": False, "lost": 3, "server_gone": True}), "server gone, lost 3")
        self.assertEqual(measure.trouble({"good": False, "failed": "not done after 3 s"}), "not done after 3 s")
        self.assertNotEqual(measure.trouble({"good": False}), "")


if __name__ == "__main__":
    unittest.main()
