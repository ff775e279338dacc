"""Everything of one stored run, as tables."""

from collections.abc import Sequence
from shlex import quote

from saevit.report.columns import NONE, Table, text_columns
from saevit.report.stored.conditions import TEXTS, shared, varying
from saevit.report.stored.endings import CUT_OFF, ENDINGS
from saevit.report.stored.evaluated import evaluation_table
from saevit.report.stored.facts import facts_tables, samples_tables
from saevit.report.units import digits, interval, list_fields, milliseconds, percent, plural
from saevit.runs.advice import advice
from saevit.runs.run import Run, Subject
from saevit.runs.statistics import Ratio, ratio, summarize


def run_tables(run: Run) -> tuple[Table, ...]:
    """Return everything of one run: its subjects or what it evaluated, what was found once, the machine."""
    environment = Table(
        title="Machine and software",
        columns=text_columns("", "value"),
        rows=tuple(list_fields(run.environment).items()),
    )
    first = evaluation_table(run) if run.is_evaluation else subjects_table(run)
    facts = () if run.is_evaluation else facts_tables(run)
    return (first, *facts, *samples_tables(run), environment)


def subjects_table(run: Run) -> Table:
    """Latencies with their spread, and their ratio to the first one that worked."""
    names = dict.fromkeys([*(subject.name for subject in run.timed), *run.not_built])
    apart = varying(subject.conditions for subject in run.timed)
    rows = [
        (
            subject.name,
            *(TEXTS[name](subject.conditions) for name in apart),
            *figures(subject, run.reference),
        )
        for subject in run.timed
    ]
    rows += [(label, *(NONE for _ in apart), "failed", *([NONE] * 4)) for label in run.not_built]
    heads = (">ms/batch", ">quartiles", ">spread", ">images/s", "ratio")
    table = (
        Table(
            title=title(run, next(iter(names)) if len(names) == 1 else None),
            columns=text_columns("model", *(f">{name}" for name in apart), *heads),
            rows=tuple(rows),
            notes=notes(run, apart if len(names) == 1 else None),
        )
    ).without_empty_columns()
    return table if len(names) > 1 else table.without_column("model")


def title(run: Run, only: str | None) -> str:
    """Say which run, of what, where, and how it ended."""
    devices = ", ".join(dict.fromkeys(subject.conditions.device for subject in run.subjects))
    what = f"{only}, " if only else ""
    rounds = plural(run.rounds, "interleaved round")
    return f"{run.path.stem}: {what}{rounds} on {devices} ({run.hardware}), {ENDINGS[run.ending]}"


def figures(subject: Subject, base: Subject | None) -> tuple[str, ...]:
    """Statistics of one subject."""
    if not subject.samples:
        return "failed" if subject.failure else NONE, NONE, NONE, NONE, NONE
    seen = summarize(subject.samples)
    return (
        milliseconds(seen.median),
        f"{milliseconds(seen.q1)} .. {milliseconds(seen.q3)}",
        percent(seen.spread),
        digits(subject.conditions.batch_size / seen.median),
        NONE if base is None or base is subject else ratio_text(compare_images(subject, base)),
    )


def compare_images(subject: Subject, base: Subject) -> Ratio:
    """Compare seconds per image: batches may differ."""
    return ratio(subject.seconds_per_image, base.seconds_per_image)


def ratio_text(seen: Ratio) -> str:
    """Write a ratio with its interval and what it says."""
    return f"{interval(seen.median, seen.low, seen.high)} {seen.verdict}"


def notes(run: Run, apart: Sequence[str] | None) -> tuple[str, ...]:
    """What a reader has to know: what is missing, how it was measured, how far equal things differ.

    Args:
        run: all of it.
        apart: in what the lines of a single model differ; None where models do.
    """
    base, floor = run.reference, run.noise_floor
    found = [*run.warnings, *(f"{label}: {reason}" for label, reason in run.failures.items())]
    if run.ending == "lost":
        found.append(CUT_OFF)
    if not run.rounds:
        found.append("no round was finished")
    found.append(
        f"begun {run.started}: {shared(subject.conditions for subject in run.subjects)}; "
        f"a sample lasts {run.min_time:g} s or more; seed {run.seed}"
    )
    if base and len(run.timed) > 1:
        found.append(
            f"ratio: time of an image over that of {told(base, apart)}, round by round; below 1 is faster"
        )
    found += [f"{told(one, apart)}: {note}" for one in run.timed for note in one.notes]
    if base and floor:
        found.append(
            f"noise floor: {told(base, apart)} against itself, {ratio_text(floor)} "
            f"at {percent(floor.confidence, 0)} confidence"
        )
    if apart is None:
        found.append(f"with accuracies: saevit compare --from-store {quote(str(run.path))}")
    return (*found, *advice(run))


def told(subject: Subject, apart: Sequence[str] | None) -> str:
    """Name a line: its label, or what sets it apart from the other lines of its model."""
    if apart is None:
        return subject.label
    return ", ".join(f"{name} {TEXTS[name](subject.conditions)}" for name in apart) or "the model"
