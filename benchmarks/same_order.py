"""Run the default comparison twice, and report whether the resolved differences agree.

    python benchmarks/same_order.py [OPTIONS of saevit compare]

Prints Markdown for docs/benchmarks.md. Any two models are compared, not only each with the reference.
"""

import json
import os
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from saevit.runs.statistics import Verdict, ratio

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


@dataclass(frozen=True)
class Finished:
    """One run: samples by model, and what the process needed."""

    samples: dict[str, list[float]]
    cpu: str
    seconds: float
    peak_bytes: int


def one_run(options: list[str], folder: Path) -> Finished:
    """Run the comparison in a separate process."""
    target = folder / "found.json"
    command = [sys.executable, "-m", "saevit_cli", "compare", *options]
    command += ["--json", str(target), "--overwrite", "--store", str(folder / "store")]
    start = time.monotonic()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{shlex.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    data = json.loads(target.read_text(encoding="utf-8"))
    timed = {c["model"]: c["latency"]["samples"] for c in data["candidates"] if c["latency"]}
    cpu = data["timings"]["environment"]["cpu"]
    return Finished(timed, cpu, time.monotonic() - start, usage.ru_maxrss * MAXRSS_UNIT)


def verdicts(run: Finished) -> dict[tuple[str, str], Verdict]:
    """Return the relation of any two models of a run."""
    pairs = combinations(run.samples, 2)
    return {(a, b): ratio(run.samples[a], run.samples[b]).verdict for a, b in pairs}


def main(options: list[str]) -> None:
    """Run twice, and count the pairs."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [one_run(options, Path(folder)) for _ in range(2)]
    first, second = map(verdicts, runs)
    unresolved = "not resolved"
    both = {p: (first[p], second[p]) for p in first if unresolved not in (first[p], second[p])}
    against = [pair for pair, (a, b) in both.items() if a != b]
    command = shlex.join(["saevit", "compare", *options])
    print(f"\n{command}, twice; {len(runs[0].samples)} models, {runs[0].cpu}")
    print("\n| pairs | resolved in both runs | same order | opposite order |\n| --- | --- | --- | --- |")
    print(f"| {len(first)} | {len(both)} | {len(both) - len(against)} | {len(against)} |")
    print("\n| run | seconds | peak memory (GB) | resolved pairs |\n| --- | --- | --- | --- |")
    for number, (run, said) in enumerate(zip(runs, (first, second), strict=True), start=1):
        resolved = sum(verdict != unresolved for verdict in said.values())
        print(f"| {number} | {run.seconds:.0f} | {run.peak_bytes / 1e9:.2f} | {resolved} |")
    for a, b in against:
        print(f"\nOpposite: {a} against {b}, {first[a, b]} then {second[a, b]}.")


if __name__ == "__main__":
    main(sys.argv[1:])
