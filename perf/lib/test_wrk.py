"""What is made of the runs of wrk. Run:  python3 -m unittest discover --start-directory perf/lib"""

import unittest

import wrk
from servers import Refused


def run(server: str, number: int, rate: float, cpu: float, good: bool = True) -> dict[str, object]:
    figures = {"requests_per_second": rate, "server_cpu_us_per_request": cpu, "server_busy": 0.9, "generator_busy": 0.8}
    return {"scenario": "hb", "server": server, "round": number, "good": good, **figures}


def pairs(count: int, rate: float, cpu: float) -> list[dict[str, object]]:
    """Rounds in which nginx does 100 requests a second at 8 us each."""
    return [one for at in range(count) for one in (run("pushletd", at, rate, cpu), run("nginx", at, 100.0, 8.0))]


class Summary(unittest.TestCase):
    def verdict(self, runs: list[dict[str, object]]) -> str:
        rows = wrk.summary(runs)
        self.assertEqual(len(rows), 1)
        return wrk.verdict(rows[0])

    def test_ratios_are_of_rounds_in_which_both_were_good(self) -> None:
        runs = [*pairs(2, 90.0, 10.0), run("pushletd", 7, 900.0, 1.0), run("nginx", 7, 1.0, 99.0, good=False)]
        row = wrk.summary(runs)[0]
        self.assertEqual((row["pairs"], row["bad"]), (2, 1))
        self.assertEqual(row["rate_ratio"], (0.9, 0.9, 0.9))
        self.assertEqual(row["capacity_ratio"], (0.8, 0.8, 0.8))
        self.assertEqual(row["pushletd_requests_per_second"], (90.0, 90.0, 900.0))

    def test_both_ratios_have_to_keep_the_target(self) -> None:
        self.assertEqual(self.verdict(pairs(7, 100.0, 9.0)), "met")
        self.assertEqual(self.verdict(pairs(7, 100.0, 11.0)), "missed")
        self.assertEqual(self.verdict(pairs(7, 70.0, 8.0)), "missed")
        mixed = [*pairs(4, 100.0, 9.0), *({**one, "round": f"b{one['round']}"} for one in pairs(4, 100.0, 12.0))]
        self.assertEqual(self.verdict(mixed), "not yet met")

    def test_few_rounds_are_no_verdict_and_none_no_figure(self) -> None:
        self.assertEqual(self.verdict(pairs(6, 100.0, 8.0)), "not yet met")
        self.assertEqual(self.verdict([run("pushletd", 1, 100.0, 8.0)]), "no figure")


class Account(unittest.TestCase):
    def test_the_account_is_the_line_of_the_script(self) -> None:
        self.assertEqual(wrk.told('Running 2s test\njson: {"right":3,"wrong":0}\n'), {"right": 3, "wrong": 0})
        with self.assertRaisesRegex(Refused, "unable to connect"):
            wrk.told("unable to connect to 127.0.0.1:1 Connection refused\n")


if __name__ == "__main__":
    unittest.main()
