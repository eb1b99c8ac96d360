"""Runs the cases of Autobahn's test suite against the echo server and tells how they end: a table by section, and every case that did not pass.

    suite.py ECHO [--all] [--case 6.4]...

ECHO is the program `ws_echo`. `--all` sends as many messages as the suite says where it sends many with compression; without it as many as
make a megabyte, at least ten. `--case` runs only those whose id begins so, and tells of each. It fails if a case fails.
"""

import argparse
import asyncio
import collections
import concurrent.futures
import pathlib
import sys
import time

import cases
import peer
from echo import echoes

ROOT = pathlib.Path(__file__).resolve().parents[2] / "target" / "autobahn" / "suite" / "autobahntestsuite"
SECTIONS = {
    1: "framing",
    2: "pings and pongs",
    3: "reserved bits",
    4: "opcodes",
    5: "fragmentation",
    6: "UTF-8",
    7: "closing",
    9: "limits, performance",
    10: "auto-fragmentation",
    12: "compression, payloads",
    13: "compression, parameters",
}
# How many cases there are: a suite that has lost some proves less.
CASES = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1, 12: 90, 13: 126}
VERDICTS = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED"]
# Cases that compute run in processes of their own; the others only wait, and do so together.
HEAVY = {9, 12, 13}
PROCESSES = 2
TOGETHER = 40
# The bytes of one case of sections 12 and 13, where not everything is wanted.
SHORT_BYTES, SHORT_MESSAGES = 1 << 20, 10
CASE_S = 600

Result = collections.namedtuple("Result", "id verdict text seconds")


def section(case_id):
    return int(case_id.split(".")[0])


def short(case):
    """Fewer messages where the suite sends many that are compressed."""
    if hasattr(case, "TESTDATA"):
        case.COUNT = min(case.COUNT, max(SHORT_MESSAGES, SHORT_BYTES // case.LEN))


async def run_case(case_id, case, port):
    begin = time.monotonic()
    made = None
    try:
        async with asyncio.timeout(CASE_S):
            _, made = await asyncio.get_running_loop().create_connection(lambda: peer.Peer(case), "127.0.0.1", port)
            await made.done
    except (TimeoutError, OSError) as error:
        return Result(case_id, "FAILED", f"{type(error).__name__}: {error}", time.monotonic() - begin)
    return Result(case_id, *verdict(made), time.monotonic() - begin)


def verdict(made):
    """What came of a case, and why. How the connection ended counts as much as what came over it."""
    case = made.case
    close = f"{case.resultClose} (code {made.remoteCloseCode})"
    if made.broken:
        return "FAILED", made.broken
    if case.behavior in (case.INFORMATIONAL, case.UNIMPLEMENTED):
        return case.behavior, case.result
    if case.behavior not in (case.OK, case.NON_STRICT):
        return "FAILED", f"{case.result} {close}"
    if case.behaviorClose in (case.FAILED, case.UNCLEAN):
        return "FAILED", close
    if case.behavior == case.NON_STRICT or case.behaviorClose != case.OK:
        return "NON-STRICT", f"{case.result} {close}"
    return "OK", case.result


def run_some(ids, ports, everything):
    """In a process of its own: these cases, together."""
    known = cases.load(ROOT)

    async def together():
        places = asyncio.Semaphore(TOGETHER)

        async def one(case_id):
            case = known[case_id]
            if not everything:
                short(case)
            async with places:
                return await run_case(case_id, case, ports[section(case_id) in (12, 13)])

        return await asyncio.gather(*map(one, ids))

    return asyncio.run(together())


def tell(results, begin):
    """The table."""
    print(f"{'':28}{'cases':>7}" + "".join(f"{verdict:>15}" for verdict in VERDICTS))
    for number, name in SECTIONS.items():
        counts = collections.Counter(result.verdict for result in results if section(result.id) == number)
        if counts:
            row = "".join(f"{counts[verdict] or '':>15}" for verdict in VERDICTS)
            print(f"{number:>2} {name:25}{counts.total():>7}{row}")
    counts = collections.Counter(result.verdict for result in results)
    row = "".join(f"{counts[verdict]:>15}" for verdict in VERDICTS)
    print(f"{'all':28}{len(results):>7}{row}   in {time.monotonic() - begin:.0f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("echo")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--case", action="append", default=[])
    options = parser.parse_args()
    begin = time.monotonic()
    ids = list(cases.load(ROOT))
    found = dict(collections.Counter(map(section, ids)))
    if found != CASES:
        raise SystemExit(f"the suite has other cases than it had: {found}")
    if options.case:
        ids = [case_id for case_id in ids if any(f"{case_id}.".startswith(f"{start}.") for start in options.case)]
    light = [case_id for case_id in ids if section(case_id) not in HEAVY]
    heavy = [case_id for case_id in ids if section(case_id) in HEAVY]
    with echoes(options.echo) as ports, concurrent.futures.ProcessPoolExecutor(PROCESSES) as pool:
        jobs = [pool.submit(run_some, job, ports, options.all) for job in [light, *([one] for one in heavy)] if job]
        results = [result for job in jobs for result in job.result()]
    for result in results:
        if options.case or result.verdict in ("FAILED", "NON-STRICT"):
            print(f"{result.id:8} {result.verdict:13} {result.seconds:6.2f} s  {result.text}")
    tell(results, begin)
    failed = any(result.verdict == "FAILED" for result in results)
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
