"""The search of `saevit explore`: its space, its question, and its progress."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saevit.measure.progress import NextStep, Tell
from saevit_cli import display, output
from saevit_cli.commands import explore_options as own
from saevit_cli.commands import latency_options as latency

if TYPE_CHECKING:
    from saevit.explore.calibration import Calibration
    from saevit.explore.exploration import Exploration
    from saevit.explore.question import Question, Search
    from saevit.explore.search import Answer
    from saevit.explore.space import Space
    from saevit.runs.record import Conditions
    from saevit.variant import VariantSpec


def choose_space(base: "VariantSpec", choices: dict[str, str]) -> "Space":
    """Return the space of the choices; without any, the default one around the variant."""
    from saevit.explore.space import default_choices, make_space, read_space

    return read_space(base, choices) if choices else make_space(base, default_choices(base))


def make_question(
    context: typer.Context,
    space: "Space",
    limits: Mapping[str, str],
    choose_conditions: "Callable[[], Conditions]",
) -> "tuple[Question, Calibration | None]":
    """Return the question that the options ask, and the calibration that latency is predicted from.

    Args:
        context: of the command.
        space: that is searched.
        limits: option to text, of a file; those of the command line replace them.
        choose_conditions: returns those of latency.
    """
    from saevit.explore.question import Question

    given, calibration = context.params, None
    objectives, rank, store = given["objectives"], given["rank_by"], given["store"]
    texts = {**limits, **own.list_limits(given)}
    if "latency" in (*(objectives or ()), rank) or "--max-latency" in texts:
        calibration = latency.load_calibration(context, space, choose_conditions(), store)
    elif not objectives and not rank:
        calibration = latency.load_if_any(context, space, choose_conditions, store)
    objectives = objectives or own.choose_objectives(texts, is_predicted=calibration is not None)
    question = Question(
        space=space,
        limits=own.read_limits(texts),
        img_size=given["img_size"],
        objectives=objectives,
        latency=calibration.model if calibration else None,
        rising=given["monotone"],
        rank=rank or objectives[-1],
        top=max(given["top"], given["measure_top"] or 1, given["train_top"] or 1),
    )
    return question, calibration


def run_search(
    search: "Search",
    jobs: int | None,
    engine: str,
    journal: Path | None,
    calibration: "Calibration | None" = None,
) -> "Exploration":
    """Search with a progress bar, and write the size of the space, warnings and the time on stderr."""
    from saevit.explore.exploration import count_answer
    from saevit.explore.journal import SearchError
    from saevit.explore.search import answer
    from saevit.machine import usable_cores

    question, start, warnings = search.question, time.monotonic(), list[str]()
    factors = [f"{count:,}" for count in question.space.shape if count > 1]
    product = f" ({' x '.join(factors)})" if len(factors) > 1 else ""
    method = {
        "exhaustive": "every variant is evaluated",
        "dp": "the exact front by dynamic programming",
        "sample": f"a sample of {search.samples:,}",
    }[search.method]
    display.say(f"{question.space.size:,} combinations{product}: {method}")
    try:
        with display.show_progress() as on_progress:
            found = answer(
                search,
                workers=jobs or usable_cores(),
                engine=engine,
                journal=journal,
                on_chunk=report_chunks(on_progress, start),
                warn=warnings.append,
            )
    except SearchError as error:
        display.complain(f"{error}")
        raise typer.Exit(output.FAILED) from error
    for text in warnings:
        display.warn(text)
    display.say(describe_speed(found, time.monotonic() - start))
    return count_answer(found, calibration)


def report_chunks(on_progress: Tell, start: float) -> Callable[[int, int], None]:
    """Return a function of finished and all chunks that reports the progress and the time left."""
    resumed: list[int] = []  # the first entry is the number of chunks that an earlier search finished

    def on_chunk(done: int, total: int) -> None:
        resumed.append(done)
        new = done - resumed[0]
        left = (time.monotonic() - start) * (total - done) / new if new else None
        on_progress(NextStep(text=f"chunk {done:,} of {total:,}", done=done / max(1, total), eta=left))

    return on_chunk


def describe_speed(found: "Answer", seconds: float) -> str:
    """Return how long the search took."""
    seen = found.findings.seen
    if not found.is_counted:
        return f"found the front of {seen:,} in {seconds:.1f} s"
    rate = f", {seen / seconds / 1e6:.3g} million per second" if seconds > 0.1 else ""
    return f"evaluated {seen:,} in {seconds:.1f} s{rate}"
