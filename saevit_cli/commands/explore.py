"""`saevit explore`."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from saevit.errors import OptionError
from saevit.text import MOST_DIGITS
from saevit_cli import options, output, readers
from saevit_cli.commands import explore_options as own
from saevit_cli.commands.explore_view import View

if TYPE_CHECKING:
    from saevit.explore.rows import Exploration
    from saevit.explore.space import Space
    from saevit.explore.sweep import Answer, Job
    from saevit.measure.plan import Plan
    from saevit.variant import VariantSpec

MOST_TOP, MOST_TIMED, MOST_SAMPLES = 10**4, 1000, 10**9


def explore(
    model: own.Variant = "saevit_tiny",
    width: own.Width = None,
    depth: own.Depth = None,
    rates: own.Rates = None,
    settings: own.Set = None,
    space: own.SpaceFile = None,
    img_size: options.ImgSize = "224",
    max_gmacs: own.MaxGmacs = None,
    gmacs_band: own.Band = None,
    max_params: own.MaxParams = None,
    max_activations: own.MaxActivations = None,
    max_memory: own.MaxMemory = None,
    max_traffic: own.MaxTraffic = None,
    max_effectiveness: own.MaxRho = None,
    monotone: own.Monotone = False,
    objectives: own.Objectives = None,
    rank_by: own.Rank = "capacity",
    top: own.Top = "5",
    method: own.Method = "auto",
    samples: own.Samples = "1000000",
    seed: own.Seed = "0",
    jobs: own.Jobs = None,
    engine: own.EngineName = "local",
    resume: own.Resume = None,
    solve: own.Solve = None,
    target_gmacs: own.Target = None,
    sensitivity: own.Sensitive = False,
    measure_top: own.MeasureTop = None,
    reference: own.Reference = None,
    batch_size: options.BatchSize = 1,
    threads: options.Threads = None,
    rounds: options.Rounds = 15,
    min_time: options.MinTime = 0.1,
    store: options.Store = None,
    plot: own.Plot = None,
    csv: own.Csv = None,
    json: own.Json = None,
    parquet: own.Parquet = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Search a whole space of variants by exact costs: fronts, the best within limits, what fits a budget."""
    from saevit.models import check_img_size
    from saevit.variant import parse

    view = View(plot=plot, csv=csv, json=json, parquet=parquet)
    read = {"--space": space, "--resume": resume}
    view.check(overwrite=overwrite, is_timed=measure_top is not None, inputs=read)
    base, size = parse(model), img_size
    check_img_size(size)
    table, limits = own.read_file(space)
    texts = own.read_texts(width, depth, rates, settings or [], table)
    if solve or target_gmacs:
        raise typer.Exit(fit(base, solve, target_gmacs, texts, size, view))
    if sensitivity:
        raise typer.Exit(show_steps(base, texts, size, view))
    timed = timing(measure_top, batch_size, threads, rounds, min_time, reference) if measure_top else None
    limits |= {
        option: text
        for option, text in {
            "--max-gmacs": max_gmacs,
            "--gmacs-band": gmacs_band,
            "--max-params": max_params,
            "--max-activations": max_activations,
            "--max-memory": max_memory,
            "--max-traffic": max_traffic,
            "--max-effectiveness": max_effectiveness,
        }.items()
        if text is not None
    }
    default = "params,capacity" if "--gmacs-band" in limits else "gmacs,capacity"
    asked = {
        "img_size": size,
        "objectives": readers.read_names(objectives or default),
        "rising": monotone,
        "rank": rank_by,
        "top": max(readers.read_count("--top", top, most=MOST_TOP), timed[0] if timed else 1),
    }
    how = {
        "samples": readers.read_count("--samples", samples, most=MOST_SAMPLES),
        "seed": readers.read_count("--seed", seed, least=0, most=10**MOST_DIGITS - 1),
    }
    found = run(job_of(base, texts, limits, method, asked, how), jobs, engine, resume)
    code = 0 if view.emit(found) else output.FAILED
    if timed:
        code = measure(found, *timed, store) or code
    raise typer.Exit(code)


def job_of(
    base: "VariantSpec",
    texts: dict[str, str],
    limits: dict[str, str],
    method: str,
    asked: dict[str, Any],
    how: dict[str, int],
) -> "Job":
    """Return the job; without any choices, the space is around the variant.

    What is around a variant is by default not deeper for its width either: beyond that, the score means less.
    """
    from saevit.explore.limits import Limit
    from saevit.explore.query import Query
    from saevit.explore.rows import row_of
    from saevit.explore.space import around, make_space, read_space
    from saevit.explore.sweep import Job, method_of

    space = read_space(base, texts) if texts else make_space(base, around(base))
    query = Query(space=space, limits=own.read_limits(limits), **asked)
    if not texts and "capacity" in (*query.objectives, query.rank) and "--max-effectiveness" not in limits:
        rho = row_of(base, query.img_size).effectiveness
        text = f"--max-effectiveness {rho:.3f} (the given variant's)"
        limit = Limit(quantity="effectiveness", text=text, high=rho * (1 + 1e-9), is_default=True)
        query = replace(query, limits=(*query.limits, limit))
    return Job(query=query, method=method_of(query, method), **how)


def run(job: "Job", jobs: str | None, engine: str, journal: Path | None) -> "Exploration":
    """Say how large the space is, search it with a bar, and say how long it took."""
    from saevit.explore.journal import SearchError
    from saevit.explore.rows import exploration_of
    from saevit.explore.sweep import answer
    from saevit.machine import usable_cores

    workers = readers.read_count("--jobs", jobs or str(usable_cores()), most=readers.MOST_PROCESSES)
    output.say(size_text(job.query.space, job))
    start, told = time.monotonic(), list[str]()
    try:
        with output.progress() as tell:
            on_chunk = teller(tell, start)
            found = answer(
                job, workers=workers, engine=engine, journal=journal, on_chunk=on_chunk, warn=told.append
            )
    except SearchError as error:
        output.say(f"error: {error}")
        raise typer.Exit(output.FAILED) from error
    for text in (
        *(f"warning: {text}" for text in told),
        took(found, time.monotonic() - start),
        *hidden(found),
    ):
        output.say(text)
    return exploration_of(found)


def size_text(space: "Space", job: "Job") -> str:
    """Say how many variants there are, and what is going to be done with them."""
    factors = [count for count in space.shape if count > 1]
    product = f" ({' x '.join(f'{count:,}' for count in factors)})" if len(factors) > 1 else ""
    what = {
        "exhaustive": "every one is looked at",
        "dp": "the exact front by dynamic programming",
        "sample": f"{job.samples:,} are drawn",
    }[job.method]
    return f"{space.size:,} combinations{product}: {what}"


def took(found: "Answer", seconds: float) -> str:
    """Say how long it took."""
    if found.kept is None:
        return f"front of {found.seen:,} combinations in {seconds:.1f} s"
    rate = f", {found.seen / seconds / 1e6:.3g} million a second" if seconds > 0.1 else ""
    return f"looked at {found.seen:,} in {seconds:.1f} s{rate}"


def hidden(found: "Answer") -> list[str]:
    """Say what a limit hides that nobody asked for."""
    of = f"of {found.seen - found.invalid:,} networks: --max-effectiveness none shows them"
    return [
        f"{limit.text} hides {'some' if found.kept is None else f'{count:,}'} {of}"
        for limit, count in zip(found.job.query.limits, found.excluded, strict=True)
        if limit.is_default
    ]


def teller(
    tell: Callable[[str, float | None, float | None], None], start: float
) -> Callable[[int, int], None]:
    """Return what moves the bar, with the time that is left by the pace so far."""
    resumed: list[int] = []

    def on_chunk(done: int, total: int) -> None:
        resumed.append(done) if not resumed else None
        new = done - resumed[0]
        left = (time.monotonic() - start) * (total - done) / new if new else None
        tell(f"chunk {done:,} of {total:,}", done / max(1, total), left)

    return on_chunk


def fit(
    base: "VariantSpec",
    key: str | None,
    target: str | None,
    texts: dict[str, str],
    img_size: tuple[int, int],
    view: View,
) -> int:
    """Find the largest value of a key that fits a budget."""
    from saevit.explore.limits import positive
    from saevit.explore.solve import solve
    from saevit.report.explore.machine import solution_rows
    from saevit.report.explore.tables import solution_table

    if not key or not target:
        raise OptionError("--solve and --target-gmacs go together: --solve width --target-gmacs 0.8")
    refuse_choices("--solve", texts)
    found = solve(base, key, int(positive("--target-gmacs", target) * 10**9), img_size)
    written = view.emit_rows(solution_rows(found, img_size), solution_table(found), None)
    return 0 if written else output.FAILED


def show_steps(base: "VariantSpec", texts: dict[str, str], img_size: tuple[int, int], view: View) -> int:
    """Show what a step of each key costs."""
    from saevit.explore.solve import sensitivity
    from saevit.report.explore.machine import sensitivity_rows
    from saevit.report.explore.tables import sensitivity_table

    refuse_choices("--sensitivity", texts)
    found = sensitivity(base, img_size)

    def draw() -> Any:
        from saevit.report.explore.figures import tornado_figure

        return tornado_figure(found)

    written = view.emit_rows(sensitivity_rows(found), sensitivity_table(found), draw)
    return 0 if written else output.FAILED


def refuse_choices(option: str, texts: dict[str, str]) -> None:
    """Refuse choices where there is one variant."""
    if texts:
        key, text = next(iter(texts.items()))
        raise OptionError(f"{option} is about one variant, not choices: write it as VARIANT:{key}={text}")


def timing(
    count: str, batch_size: int, threads: int | None, rounds: int, min_time: float, reference: str | None
) -> "tuple[int, Plan, str | None]":
    """Return how many to time, how, and beside what."""
    from saevit.compare.compare import resolved
    from saevit.measure.plan import Plan

    plan = Plan(
        batch_sizes=(batch_size,),
        threads=threads,
        rounds=rounds,
        min_time=min_time,
    )
    most = readers.read_count("--measure-top", count, most=MOST_TIMED)
    return most, plan, resolved([reference])[0] if reference else None


def measure(found: "Exploration", count: int, plan: "Plan", reference: str | None, store: Path | None) -> int:
    """Time the best, interleaved with a reference, and set their predicted order beside it."""
    from saevit.compare.compare import compare
    from saevit.report.comparison import comparison_table
    from saevit.report.explore.measured import predicted_table

    best = [row.model for row in (found.top or found.front)[:count]]
    base = reference or found.base.model
    models = list(dict.fromkeys([base, *best]))
    with output.kept(store, wanted=True) as writer, output.progress() as tell:
        timed = compare(
            models,
            reference=base,
            img_size=found.query.img_size,
            plan=plan,
            on_step=lambda step: tell(step.text, step.done, step.eta),
            writer=writer,
        )
    output.show((comparison_table(timed, "latency"), predicted_table(found, timed)))
    return output.exit_code(timed.timings, failed=timed.failed)
