"""That perf/instructions says no when it has to: python3 perf/instructions_test.py. It counts nothing, so it takes a moment."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "instructions"
MADE_WITH = {"rustc": "rustc 1.2.3", "libc": "glibc 2.36", "machine": "x86_64", "processor": "avx2", "valgrind": "valgrind-3.19.0"}


class Comparison(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def table(self, name, counts, **changed):
        lines = [f"# {key}: {value}" for key, value in {**MADE_WITH, **changed}.items()]
        lines += [f"{path}\t{count}" for path, count in counts.items()]
        file = self.folder / name
        file.write_text("\n".join(lines) + "\n")
        return file

    def run_on(self, committed, counted, *more):
        command = [sys.executable, SCRIPT, "--table", committed, "--counts", counted, *more]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        self.assertNotIn("Traceback", done.stderr)
        return done.returncode, done.stdout + done.stderr

    def judged(self, committed, counted, **changed):
        return self.run_on(self.table("committed", committed), self.table("counted", counted, **changed))

    def test_more_than_three_percent_above_fails_and_names_the_path(self):
        code, told = self.judged({"even": 1000, "slow": 1000}, {"even": 1000, "slow": 1030.2})
        self.assertEqual(code, 1, told)
        self.assertIn("above the table: slow.", told)
        self.assertIn("+3.02%", told)

    def test_a_changed_table_fails(self):
        # What is committed was made smaller: every path is above it.
        code, told = self.judged({"one": 970, "two": 97}, {"one": 1000, "two": 100})
        self.assertEqual(code, 1, told)
        self.assertIn("above the table: one, two.", told)

    def test_up_to_three_percent_either_way_passes(self):
        code, told = self.judged({"up": 1000, "down": 1000}, {"up": 1029.9, "down": 970.1})
        self.assertEqual(code, 0, told)
        self.assertIn("All of 2 paths", told)

    def test_more_than_three_percent_below_passes_with_a_note(self):
        code, told = self.judged({"quick": 1000}, {"quick": 969})
        self.assertEqual(code, 0, told)
        self.assertIn("below the table: quick. Renew it", told)

    def test_one_that_is_quicker_makes_up_for_none_that_is_slower(self):
        code, told = self.judged({"quick": 1000, "slow": 1000}, {"quick": 500, "slow": 1040})
        self.assertEqual(code, 1, told)

    def test_paths_that_came_or_went_fail(self):
        code, told = self.judged({"old": 10}, {"old": 10, "new": 10})
        self.assertEqual((code, "Not in the table: new" in told), (1, True), told)
        code, told = self.judged({"old": 10, "gone": 10}, {"old": 10})
        self.assertEqual((code, "not counted: gone" in told), (1, True), told)

    def test_another_compiler_or_library_is_told_and_has_a_code_of_its_own(self):
        for name in ("rustc", "libc", "machine", "processor"):
            code, told = self.judged({"even": 1000}, {"even": 1000}, **{name: "another"})
            self.assertEqual(code, 3, told)
            self.assertIn(f"{name}: made with '{MADE_WITH[name]}', here is 'another'", told)

    def test_another_valgrind_is_the_same(self):
        code, told = self.judged({"even": 1000}, {"even": 1000}, valgrind="valgrind-9")
        self.assertEqual(code, 0, told)

    def test_what_is_no_table_is_told_and_fails(self):
        good = self.table("good", {"even": 1000})
        for text in ("even 1000\n", "even\tmuch\n", "even\t0\n", "even\tnan\n"):
            bad = self.folder / "bad"
            bad.write_text(text)
            code, told = self.run_on(bad, good)
            self.assertEqual(code, 1, told)
            self.assertIn("bad:1", told)
        code, told = self.run_on(self.folder / "nothing", good)
        self.assertEqual((code, "there is no table" in told), (1, True), told)


if __name__ == "__main__":
    unittest.main()
