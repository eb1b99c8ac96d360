"""Medians, intervals and verdicts."""

import itertools
import random
import unittest

from figures import Interval, Target, Verdict, median_interval, read_target


class MedianInterval(unittest.TestCase):
    def test_nothing_has_no_median(self) -> None:
        with self.assertRaises(ValueError):
            median_interval([])

    def test_few_values_are_bounded_by_their_extremes(self) -> None:
        self.assertEqual(median_interval([3.0]), Interval(3.0, 3.0, 3.0, 1))
        self.assertEqual(median_interval([4.0, 1.0]), Interval(2.5, 1.0, 4.0, 2))
        self.assertEqual(median_interval([5, 1, 4, 2, 3]), Interval(3, 1, 5, 5))

    def test_ranks_are_those_of_the_binomial_tables(self) -> None:
        # Sample size and the rank of the lower bound at 95 %, as textbooks on order statistics have them.
        for count, rank in ((6, 1), (8, 1), (9, 2), (12, 3), (15, 4), (20, 6), (25, 8)):
            interval = median_interval(range(1, count + 1))
            self.assertEqual((interval.low, interval.high), (rank, count + 1 - rank), count)

    def test_order_does_not_matter(self) -> None:
        wanted = median_interval([1, 2, 3, 4])
        for values in itertools.permutations([1, 2, 3, 4]):
            self.assertEqual(median_interval(values), wanted)

    def test_the_true_median_is_within_in_95_of_100_cases(self) -> None:
        source = random.Random(7)
        trials, held = 2000, 0
        for _ in range(trials):
            interval = median_interval(source.expovariate(1) for _ in range(9))
            held += interval.low <= 0.693147 <= interval.high
        self.assertGreaterEqual(held / trials, 0.94)


class Targets(unittest.TestCase):
    def test_a_value(self) -> None:
        self.assertEqual(read_target("sse: start_ms < 50"), Target("sse", "start_ms", "<", 50.0, None))

    def test_a_ratio_and_names_with_blanks(self) -> None:
        target = read_target("two cores: server_cpu_us_per_delivery <= 1.05 x one core")
        self.assertEqual(target, Target("two cores", "server_cpu_us_per_delivery", "<=", 1.05, "one core"))
        self.assertEqual(read_target(str(target)), target)

    def test_what_is_no_target_is_told(self) -> None:
        for text in ("", "sse", "sse: start_ms", "sse: start_ms = 5", "sse: start_ms < fast", "sse: start_ms < 5 x", "start_ms < 5"):
            with self.assertRaisesRegex(ValueError, "is no target"):
                read_target(text)

    def test_bounds_belong_to_them_or_not(self) -> None:
        for relation, below, at, above in (("<=", True, True, False), ("<", True, False, False), (">=", False, True, True), (">", False, False, True)):
            target = Target("a", "b", relation, 2.0, None)
            self.assertEqual([target.holds(value) for value in (1.0, 2.0, 3.0)], [below, at, above], relation)

    def test_a_verdict_takes_the_whole_interval(self) -> None:
        target = Target("a", "b", "<=", 1.1, "c")
        self.assertEqual(target.verdict(Interval(1.0, 0.9, 1.1, 7)), Verdict.MET)
        self.assertEqual(target.verdict(Interval(1.0, 0.9, 1.2, 7)), Verdict.NOT_YET)
        self.assertEqual(target.verdict(Interval(1.3, 1.2, 1.4, 7)), Verdict.MISSED)

    def test_a_verdict_takes_seven_rounds(self) -> None:
        ratio, value = Target("a", "b", "<", 1.0, "c"), Target("a", "b", "<", 1.0, None)
        self.assertEqual(ratio.verdict(Interval(0.5, 0.5, 0.5, 6)), Verdict.NOT_YET)
        self.assertEqual(ratio.verdict(Interval(1.5, 1.5, 1.5, 6)), Verdict.NOT_YET)
        self.assertEqual(ratio.verdict(Interval(0.5, 0.5, 0.5, 7)), Verdict.MET)
        self.assertEqual(value.verdict(Interval(0.5, 0.5, 0.5, 6)), Verdict.NOT_YET)
        self.assertEqual(value.verdict(Interval(0.5, 0.5, 0.5, 7)), Verdict.MET)


if __name__ == "__main__":
    unittest.main()
