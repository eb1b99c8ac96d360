"""Scenario files: what is understood, and what is said about the others."""

import tempfile
import unittest
from pathlib import Path

import scenarios
from scenarios import Problem, merged, read, read_all

GOOD = """
name = "one"
what = "a sample"
tool = "bench"
words = "fan-out --sessions 100 --payload 64"
quick = "--sessions 5"
targets = ["ws: deliveries_per_second > 1 x uws"]

[[side]]
name = "ws"
server = "pushletd"
start = "--cores 2"
words = "--transport ws --payload 128"

[[side]]
server = "uws"
words = "--dialect uws"
"""


class Files(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "one.toml"

    def read(self, text: str) -> scenarios.Scenario:
        self.path.write_text(text, encoding="utf-8")
        return read(self.path)

    def test_a_good_file(self) -> None:
        scenario = self.read(GOOD)
        self.assertEqual((scenario.rounds, scenario.fresh, scenario.pin), (scenarios.ROUNDS, False, True))
        self.assertEqual([side.name for side in scenario.sides], ["ws", "uws"])
        self.assertEqual(scenario.sides[0].start, ("--cores", "2"))
        self.assertEqual(scenario.targets[0].other, "uws")

    def test_words_of_a_side_and_quick_ones_go_before(self) -> None:
        scenario = self.read(GOOD)
        words = ["fan-out", "--sessions", "100", "--payload", "128", "--transport", "ws"]
        self.assertEqual(scenario.command_words(scenario.side("ws"), quick=False), words)
        self.assertIn("5", scenario.command_words(scenario.side("uws"), quick=True))
        self.assertNotIn("100", scenario.command_words(scenario.side("uws"), quick=True))

    def test_what_is_wrong_is_said_with_its_place(self) -> None:
        for old, new, said in (
            ('what = "a sample"', "", "`what` is missing"),
            ('name = "one"', 'name = "two"', "same name"),
            ('tool = "bench"', 'tool = "hammer"', "nobody knows the tool `hammer`"),
            ('tool = "bench"', 'tool = "bench"\nrouns = 3', "`rouns` is no key"),
            ('tool = "bench"', 'tool = "bench"\nrounds = "3"', "`rounds` is a str, a int is wanted"),
            ('tool = "bench"', 'tool = "bench"\nrounds = 0', "at least 1"),
            ('tool = "bench"', 'tool = "start"', "knows pushletd only"),
            ('tool = "bench"', 'tool = "floor"', "compares two, by server_cpu_us_per_delivery"),
            ('server = "uws"', 'server = "iis"', "side 2: nobody knows the server `iis`"),
            ('server = "uws"', 'server = "floor"\nname = "uws"', "only the tool `floor` knows"),
            ('server = "uws"', 'server = "uws"\nname = "ws"', "two sides are called `ws`"),
            ('server = "uws"', 'server = "uws"\nname = "u:s"', "has a colon"),
            ("1 x uws", "1 x nchan", "names `nchan`, which is no side"),
            ("> 1 x uws", "of 1", "is no target"),
            ("fan-out --sessions", "fan-out 'sessions", "No closing quotation"),
            ('tool = "bench"', "tool = ", "Invalid value"),
        ):
            with self.subTest(new), self.assertRaisesRegex(Problem, "^one.toml.*" + said):
                self.read(GOOD.replace(old, new, 1))

    def test_an_absent_file_is_told(self) -> None:
        with self.assertRaisesRegex(Problem, "one.toml"):
            read(self.path)


class Merged(unittest.TestCase):
    def test_the_last_one_counts_and_keeps_its_place(self) -> None:
        self.assertEqual(merged(["a", "--x", "1", "--y"], ["--x", "2"]), ["a", "--x", "2", "--y"])
        self.assertEqual(merged(["--y"], ["--y"]), ["--y"])
        self.assertEqual(merged([], []), [])


class Ours(unittest.TestCase):
    def test_the_files_of_the_project_are_good(self) -> None:
        found = read_all(Path(__file__).resolve().parent.parent / "scenarios")
        self.assertGreater(len(found), 10)
        for scenario in found:
            with self.subTest(scenario.name):
                self.assertTrue(any(side.server == scenarios.OURS for side in scenario.sides) or not scenario.targets)


if __name__ == "__main__":
    unittest.main()
