"""Measure how many variants per second `saevit explore` evaluates, and compare with fvcore.

    python benchmarks/explore_speed.py [--jobs N]

Prints Markdown for docs/benchmarks.md. Each search runs in a separate process, so that peak memory is
per search; fvcore counts built models (on the meta device) in the same run, on one core. Predicted latency is
that of made-up times of parts, so that a search needs no calibration.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any

from saevit.explore.latency_model import LatencyModel, LatencyPart, make_grids
from saevit.explore.latency_parts import choose_parts
from saevit.explore.question import Method, Question, Search, read_band, read_limit
from saevit.explore.search import answer
from saevit.explore.space import Space, read_space
from saevit.machine import usable_cores
from saevit.variant import PRESETS

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes
FVCORE_SECONDS = 8.0
WARM = 2

# Choices of channels, blocks and ratio in each stage: 10^8 and 10^12 variants.
HUNDRED_MILLION = {
    **{"dims1": "32:104:8", "dims2": "64:136:8", "dims3": "128:272:16", "dims4": "224:512:32"},
    **{"depths1": "1:5", "depths2": "1:5", "depths3": "3:12", "depths4": "2,3"},
    **{"ratios1": "3,4", "ratios2": "3,4", "ratios3": "3", "ratios4": "2,2.5,3,3.5,4"},
}
TRILLION = {
    **{"dims1": "16:168:8", "dims2": "32:336:16", "dims3": "64:672:32", "dims4": "96:1008:48"},
    **{f"depths{i}": "1:10" for i in range(1, 5)},
    **{f"ratios{i}": "2:4:0.5" for i in range(1, 5)},
}


@dataclass(frozen=True)
class Finished:
    """One search."""

    size: int
    seconds: float
    front: int
    is_counted: bool
    peak_bytes: int  # of the process and, at the most, of one worker, together


def space_of(texts: dict[str, str]) -> Space:
    """Return a space around saevit_tiny."""
    return read_space(PRESETS["saevit_tiny"], texts)


def make_up_latency(space: Space) -> LatencyModel:
    """Return a model of latency whose parts run at 40 GMACs/s, and 8 GB/s for the map that they read."""

    def seconds(part: LatencyPart) -> float:
        kernel = {"stem": 36.0, "downsample": 9.0, "ffn": 2.0, "attention": 1.5}.get(part.group.kind, 1.0)
        pixels = (56 >> part.group.stage) ** 2 if part.group.kind != "head" else 1
        second = part.first if part.group.kind == "attention" else part.second
        return 2e-5 + pixels * part.first * (second * kernel / 4e10 + 4 / 8e9)

    times = {part: seconds(part) for part in choose_parts(space)}
    return LatencyModel(make_grids(times), (2e-4, 1.1, 5e-6))


def jobs_of() -> dict[str, Search]:
    """Return the searches by what they are called."""
    limits = (
        read_band("", "gmacs", "0.8±5%"),
        read_limit("", "params", "8"),
        read_limit("", "activations", "10"),
    )
    few = space_of(HUNDRED_MILLION)
    many = space_of(TRILLION)

    latency = make_up_latency(many)

    def job(space: Space, method: Method, objectives: tuple[str, ...], kept: Any) -> Search:
        query = Question(
            space=space, objectives=objectives, limits=kept, rank=objectives[-1], latency=latency
        )
        return Search(question=query, method=method)

    costs = ("gmacs", "params", "activations")
    upper = (read_limit("", "gmacs", "1"),)
    return {
        "every variant: MACs, parameters, activations, three limits, front of the three": job(
            few, "exhaustive", costs, limits
        ),
        "every variant: three limits, front of parameters and capacity": job(
            few, "exhaustive", ("params", "capacity"), limits
        ),
        "every variant: no limits, front of MACs and capacity": job(
            few, "exhaustive", ("gmacs", "capacity"), ()
        ),
        "exact front (dp): MACs and capacity": job(many, "dp", ("gmacs", "capacity"), ()),
        "exact front (dp): parameters and capacity within 1 GMACs": job(
            many, "dp", ("params", "capacity"), upper
        ),
        "exact front (dp): parameters and most MACs": job(many, "dp", ("params", "most-gmacs"), ()),
        "exact front (dp): predicted latency and parameters": job(many, "dp", ("latency", "params"), ()),
        "exact front (dp): predicted latency and most MACs": job(many, "dp", ("latency", "most-gmacs"), ()),
        "exact front (dp): predicted latency and most MACs within 10 ms": job(
            many, "dp", ("latency", "most-gmacs"), (read_limit("", "latency", "10ms"),)
        ),
    }


def search(name: str, workers: int, queue: Any) -> None:
    """Do one search, and report."""
    job = jobs_of()[name]
    start = time.perf_counter()
    found = answer(job, workers=workers)
    seconds = time.perf_counter() - start
    own, child = (
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    peak = (own + child * (workers if child else 0)) * MAXRSS_UNIT
    queue.put(Finished(job.question.space.size, seconds, len(found.front), found.is_counted, peak))


def in_a_process(name: str, workers: int) -> Finished:
    """Run one search in a new process, and time its start separately."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=search, args=(name, workers, queue))
    process.start()
    found: Finished = queue.get()
    process.join()
    return found


def fvcore_models_a_second() -> float:
    """Count random variants of the same space with fvcore, building each."""
    import random

    import torch

    from saevit.count.fvcore_counter import count_fvcore
    from saevit.count.model_costs import build_skeleton

    torch.set_num_threads(1)
    space, generator = space_of(HUNDRED_MILLION), random.Random(0)
    done, start = -WARM, 0.0
    while not start or time.perf_counter() - start < FVCORE_SECONDS:
        if done == 0:
            start = time.perf_counter()
        count_fvcore(build_skeleton(space.spec_at(generator.randrange(space.size))), (1, 3, 224, 224))
        done += 1
    return done / (time.perf_counter() - start)


def main(arguments: list[str]) -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=usable_cores(), help="processes of a search")
    workers = parser.parse_args(arguments).jobs
    print(f"\n{workers} processes; times include the start of the workers, but not that of the interpreter")
    print("\n| search | variants | seconds | million per second | front | peak memory (MB) |")
    print("| --- | --- | --- | --- | --- | --- |")
    rates = []
    for name in jobs_of():
        found = in_a_process(name, workers)
        rate = found.size / found.seconds
        rates.append(rate)
        shown = f"{rate / 1e6:,.1f}" if found.is_counted else "-"
        print(
            f"| {name} | {found.size:,} | {found.seconds:.1f} | {shown} | {found.front} | "
            f"{found.peak_bytes / 1e6:,.0f} |",
            flush=True,
        )
    fvcore = fvcore_models_a_second()
    print(
        f"\nIn the same run, fvcore counts {fvcore:.1f} models per second on one core: the fastest search is "
        f"{rates[0] / fvcore:,.0f} times as fast."
    )
    print(json.dumps({"fvcore_models_per_second": fvcore, "variants_per_second": rates[0]}))


if __name__ == "__main__":
    main(sys.argv[1:])
