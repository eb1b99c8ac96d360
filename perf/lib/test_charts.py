"""What the charts are made of: reading, grouping, medians, targets. Run:  python3 -m unittest discover --start-directory perf/lib"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import charts
from charts import Problem, Run
from figures import Interval

PLOT = Path(__file__).resolve().parent.parent / "plot"


def bench(**changes: object) -> dict[str, object]:
    """A run as the generator prints it, as far as charts look at it."""
    facts: dict[str, object] = {
        "server": "pushletd",
        "scenario": "fan-out",
        "transport": "sse",
        "publish": "http",
        "format": "json",
        "sessions_open": 1000,
        "publishers_open": 1,
        "payload_bytes": 64,
        "subjects": 1,
        "rate": 0.0,
        "in_flight": 1,
        "complete": "delivered",
        "pipeline": 1,
        "good": True,
        "stopped_early": False,
        "server_cpu_us_per_delivery": 6.0,
        "version": "0.1.0",
    }
    return {**facts, **changes}


def run(**changes: object) -> Run:
    facts = bench(**changes)
    return Run(str(facts["server"]), facts)


class Reading(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "runs.jsonl"

    def read(self, *lines: object, server: str | None = None) -> charts.Reading:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.file.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return charts.read([self.file], server)

    def test_runs_are_read_in_their_order_and_blank_lines_passed_over(self) -> None:
        found = self.read(bench(), "", bench(server="nchan"))
        self.assertEqual([one.server for one in found.runs], ["pushletd", "nchan"])
        self.assertEqual(found.left_out, ())
        self.assertTrue(found.runs[1].place.endswith("runs.jsonl:3"))

    def test_what_is_no_json_is_named_with_its_line(self) -> None:
        with self.assertRaisesRegex(Problem, r"runs\.jsonl:2: this is no JSON"):
            self.read(bench(), "{nothing")
        with self.assertRaisesRegex(Problem, r"runs\.jsonl:1: a JSON object"):
            self.read("[1]")

    def test_missing_keys_are_named(self) -> None:
        without = bench()
        del without["payload_bytes"], without["good"]
        with self.assertRaisesRegex(Problem, "runs.jsonl:1: no payload_bytes, good; is this what `pushletd bench --json` printed"):
            self.read(without)
        with self.assertRaisesRegex(Problem, "no server_cpu_us_per_request; is this what perf/run wrk printed"):
            self.read({"tool": "wrk", "server": "nginx", "scenario": "hb", "requests_per_second": 1.0, "good": True})

    def test_a_line_without_a_server_needs_a_name(self) -> None:
        nameless = bench()
        del nameless["server"]
        with self.assertRaisesRegex(Problem, "--server NAME"):
            self.read(nameless)
        self.assertEqual(self.read(nameless, server="nats").runs[0].server, "nats")

    def test_runs_that_do_not_count_never_reach_a_chart(self) -> None:
        found = self.read(bench(), {"tool": "bench", "good": False, "failed": "no answer"}, bench(stopped_early=True), {"tool": "start"})
        self.assertEqual(len(found.runs), 1)
        self.assertEqual(found.left_out, ("1 lines of other tools", "2 runs that do not count"))
        # The same as in the report: a peer's faults are told, ours do not count.
        faults = {"server_gone": False, "sessions_wanted": 100, "sessions_open": 100, "told_missing": 1}
        found = self.read(bench(server="nchan", good=False, **faults), bench(server="pushletd", **faults), bench())
        self.assertEqual([run.server for run in found.runs], ["nchan", bench()["server"]])
        with self.assertRaisesRegex(Problem, "no runs to draw in .*left out: 1 runs that do not count"):
            self.read(bench(good=False))

    def test_of_each_case_the_newest_set_counts(self) -> None:
        old, new, other = {"case": "a", "set": "2026-11-01"}, {"case": "a", "set": "2026-11-02"}, {"case": "b", "set": "2026-11-01"}
        found = self.read(bench(**old), bench(**new), bench(**other))
        self.assertEqual([one.word("set") for one in found.runs], ["2026-11-02", "2026-11-01"])
        self.assertEqual(found.left_out, ("1 runs of older sets",))

    def test_runs_of_wrk_are_kept_apart(self) -> None:
        wrk = {"tool": "wrk", "server": "nginx", "scenario": "hb", "requests_per_second": 1.0, "server_cpu_us_per_request": 8.0, "good": True}
        found = self.read(bench(), wrk)
        self.assertEqual(([one.server for one in found.runs], [one.server for one in found.requests]), (["pushletd"], ["nginx"]))

    def test_a_file_that_is_not_there_is_a_problem(self) -> None:
        with self.assertRaisesRegex(Problem, "nowhere.jsonl"):
            charts.read([self.file.parent / "nowhere.jsonl"])


class Medians(unittest.TestCase):
    def test_what_the_bars_are_is_said(self) -> None:
        self.assertEqual(charts.counts([Interval(1, 1, 1, 1)]), "One run each.")
        self.assertEqual(charts.counts([Interval(1, 1, 1, 3), Interval(1, 1, 1, 5)]), "Medians of 3 to 5 runs; error bars: lowest and highest run.")
        self.assertIn("95 % interval of the median.", charts.counts([Interval(1, 1, 1, 7)]))
        self.assertIn("of fewer than 6 runs lowest and highest", charts.counts([Interval(1, 1, 1, 7), Interval(1, 1, 1, 2)]))


class Grouping(unittest.TestCase):
    @staticmethod
    def cpu(runs: list[Run]) -> list[charts.Series]:
        return charts.series(runs, lambda one: one.number("sessions_open") or 0.0, lambda one: one.number("server_cpu_us_per_delivery"))

    def test_rounds_of_the_same_thing_become_one_point(self) -> None:
        found = self.cpu([run(server_cpu_us_per_delivery=value) for value in (7.0, 5.0, 6.0)])
        self.assertEqual(found, [charts.Series("pushletd", "pushletd sse", ((1000.0, Interval(6.0, 5.0, 7.0, 3)),))])

    def test_servers_and_ways_to_listen_are_series_of_their_own_pushletd_first(self) -> None:
        peers = [run(server="nchan", dialect="nchan-sse"), run(server="uws", dialect="uws"), run(server="nats", dialect="nats-ws")]
        found = self.cpu([*peers, run(transport="ws"), run()])
        self.assertEqual([one.label for one in found], ["pushletd sse", "pushletd ws", "nats ws", "nchan sse", "uws"])

    def test_what_differs_at_one_place_is_never_taken_for_rounds(self) -> None:
        found = self.cpu([run(in_flight=1), run(in_flight=64, server_cpu_us_per_delivery=0.5)])
        self.assertEqual([one.label for one in found], ["pushletd sse, 1 in flight", "pushletd sse, 64 in flight"])
        self.assertEqual([one.points[0][1].count for one in found], [1, 1])

    def test_what_differs_along_the_axis_is_one_line_and_is_told(self) -> None:
        runs = [run(in_flight=64), run(in_flight=16, sessions_open=10000)]
        found = self.cpu(runs)
        self.assertEqual([one.label for one in found], ["pushletd sse"])
        self.assertEqual([place for place, _ in found[0].points], [1000.0, 10000.0])
        self.assertEqual(charts.settings_vary(runs), ["in_flight 16, 64"])

    def test_a_server_started_otherwise_is_a_series_of_its_own(self) -> None:
        found = self.cpu([run(server_start=""), run(server_start="--cores 2")])
        self.assertEqual([one.label for one in found], ["pushletd sse, --cores 2", "pushletd sse, as usual"])

    def test_runs_without_the_figure_are_no_point(self) -> None:
        self.assertEqual(self.cpu([run(server_cpu_us_per_delivery=None)]), [])

    def test_a_truth_value_is_no_number(self) -> None:
        self.assertIsNone(run(server_cpu_us_per_delivery=True).number("server_cpu_us_per_delivery"))

    def test_loads_are_told_in_words(self) -> None:
        self.assertEqual(charts.load(run()), "fan-out, 1,000 subscribers, one event at a time, 64 bytes of payload")
        each = run(scenario="unicast", subjects=1000, rate=50.0)
        self.assertEqual(charts.load(each, with_sessions=False), "unicast, a subject for each, 50 events/s, 64 bytes of payload")
        self.assertEqual(charts.load(run(in_flight=64, subjects=8)), "fan-out, 1,000 subscribers, 8 subjects, saturated, 64 bytes of payload")
        self.assertEqual(charts.slug(charts.load(each)), "unicast-1000-subscribers-a-subject-for-each-50-per-second-64-bytes")

    def test_sources_name_machine_commit_date_and_tool_once(self) -> None:
        told = {"machine": {"cpu": "EPYC", "cores": 2}, "commit": "0123456789abcdef0123", "date": "2026-11-22T10:00:00Z"}
        self.assertEqual(charts.sources([run(**told), run(**told)]), "EPYC, 2 | commit 0123456789ab | 2026-11-22 | pushletd bench 0.1.0")
        self.assertEqual(charts.sources([run()]), "pushletd bench 0.1.0")


class Targets(unittest.TestCase):
    def test_targets_are_read(self) -> None:
        self.assertEqual(
            charts.target("fan-out: server_cpu_us_per_delivery <= 0.75 x nchan"),
            charts.Target("server_cpu_us_per_delivery", True, 0.75, "nchan", "fan-out"),
        )
        self.assertEqual(charts.target("deliveries_per_second>=1e6".replace("1e6", "1000000")), charts.Target("deliveries_per_second", False, 1e6))
        for text in ("", "fast", "a < 3", "a <= nchan", "a <= 3 x", "a <= -1"):
            with self.subTest(text=text), self.assertRaises(Problem):
                charts.target(text)

    @staticmethod
    def lines(targets: list[charts.Target], runs: list[Run]) -> list[tuple[tuple[float, float], ...]]:
        found = charts.bounds(targets, "server_cpu_us_per_delivery", runs, lambda one: one.number("sessions_open") or 0.0)
        return [line for _, line in found]

    def test_a_multiple_is_of_the_best_way_of_that_server(self) -> None:
        nchan = [run(server="nchan", dialect="nchan-sse", server_cpu_us_per_delivery=value) for value in (7.0, 8.0, 9.0)]
        nchan += [run(server="nchan", dialect="nchan-stream", server_cpu_us_per_delivery=6.0)]
        runs = [run(), *nchan, run(sessions_open=10000)]
        self.assertEqual(self.lines([charts.target("server_cpu_us_per_delivery <= 0.5 x nchan")], runs), [((1000.0, 3.0),)])
        self.assertEqual(self.lines([charts.target("server_cpu_us_per_delivery >= 0.5 x nchan")], runs), [((1000.0, 4.0),)])

    def test_a_value_holds_at_every_place(self) -> None:
        runs = [run(), run(sessions_open=10000)]
        self.assertEqual(self.lines([charts.target("server_cpu_us_per_delivery <= 5")], runs), [((1000.0, 5.0), (10000.0, 5.0))])

    def test_a_target_of_a_case_is_of_its_runs_and_its_sides_only(self) -> None:
        theirs = {"server": "nchan", "dialect": "nchan-sse"}
        runs = [run(case="a", side="sse"), run(case="a", side="nchan sse", server_cpu_us_per_delivery=8.0, **theirs)]
        runs += [run(case="b", side="nchan sse", server_cpu_us_per_delivery=2.0, sessions_open=9, **theirs)]
        bound = charts.Target("server_cpu_us_per_delivery", True, 0.5, "nchan sse", case="a", side="sse")
        self.assertEqual(self.lines([bound], runs), [((1000.0, 4.0),)])

    def test_of_several_targets_of_one_side_the_strictest_counts(self) -> None:
        runs = [run(), run(server="uws", dialect="uws", server_cpu_us_per_delivery=5.0), run(server="nats", server_cpu_us_per_delivery=9.0)]
        both = [charts.target(f"server_cpu_us_per_delivery <= 1 x {name}") for name in ("nats", "uws")]
        found = charts.bounds(both, "server_cpu_us_per_delivery", runs, lambda _: 0.0)
        self.assertEqual(found, [(both[1], ((0.0, 5.0),))])

    def test_targets_of_others_are_left_out(self) -> None:
        texts = ["server_cpu_us_per_delivery <= 1 x uws", "delivery_us_p99 <= 1", "idle: server_cpu_us_per_delivery <= 1"]
        self.assertEqual(self.lines([charts.target(text) for text in texts], [run()]), [])

    def test_targets_of_scenario_files_are_in_the_units_of_the_generator(self) -> None:
        text = """
            name = "small"
            what = "memory"
            tool = "bench"
            words = "idle"
            targets = ["pushletd: server_kib_per_connection <= 0.5", "pushletd: delivery_ms_p99 < 1 x nchan"]
            [[side]]
            server = "pushletd"
            [[side]]
            server = "nchan"
        """
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "small.toml").write_text(text, encoding="utf-8")
            found = charts.targets_of(Path(folder))
        memory = charts.Target("server_bytes_per_connection", True, 512.0, "", "", "small", "pushletd")
        self.assertEqual(found, [memory, charts.Target("delivery_us_p99", True, 1.0, "nchan", "", "small", "pushletd", True)])


class Pairs(unittest.TestCase):
    def test_the_ratio_is_of_rounds_and_the_target_that_of_its_case_and_sides(self) -> None:
        facts = bench(
            tool="floor",
            case="fan-out-floor",
            side="sse",
            other_side="floor",
            one={"name": "sse", "programs": ["pushletd"], "cpu_us_per_delivery": {"median": 7.0}},
            other={"name": "floor send", "cpu_us_per_delivery": {"median": 6.0}},
            rounds=[{"ratio": 1.1}, {"ratio": 1.3}, {"ratio": 1.2}, {"ratio": None}],
        )
        wanted = charts.Target("server_cpu_us_per_delivery", True, 1.1, "floor", case="fan-out-floor", side="sse")
        other = charts.Target("server_cpu_us_per_delivery", True, 2.0, "floor", case="fan-out-floor", side="stream")
        found = charts.pairs([Run("pushletd", facts)], [other, wanted])
        self.assertEqual(found, [charts.Pair("pushletd sse", "floor", 7.0, 6.0, Interval(1.2, 1.1, 1.3, 3), 1.1)])
        self.assertEqual(charts.pairs([Run("pushletd", {**facts, "rounds": []})], []), [])


class Program(unittest.TestCase):
    """perf/plot itself: what is wrong with the input is said before anything is installed."""

    def plot(self, text: str, *words: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "runs.jsonl"
            file.write_text(text, encoding="utf-8")
            line = [sys.executable, str(PLOT), str(file), "--out", f"{folder}/out", *words]
            done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
            self.assertFalse((Path(folder) / "out").exists(), "nothing is written")
            return done

    def test_bad_input_is_told_and_ends_with_2(self) -> None:
        for text, told in (("", "no runs to draw"), ("no json", "runs.jsonl:1: this is no JSON"), ("{}", "runs.jsonl:1: no scenario")):
            with self.subTest(text=text):
                done = self.plot(text)
                self.assertEqual(done.returncode, 2)
                self.assertRegex(done.stderr, f"^plot: .*{told}")
                self.assertNotIn("Traceback", done.stderr)

    def test_a_target_that_is_none_ends_with_2(self) -> None:
        done = self.plot(json.dumps(bench()), "--target", "fast")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("this is no target: 'fast'", done.stderr)


if __name__ == "__main__":
    unittest.main()
