"""The list of stored runs as a table."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile

from saevit.report.columns import NONE, Table, text_columns
from saevit.report.names import short_names
from saevit.report.stored.endings import CUT_OFF, ENDINGS
from saevit.report.units import plural
from saevit.runs.run import RunSummary

TO_THE_SECOND = len("20260131T120000")  # of a run's name: what follows is needed only within one second
MOST_NAMED = 2  # models in one line


def list_table(runs: Sequence[RunSummary], folder: str) -> Table:
    """Return one line a run, in the order given; what cannot be read is under the table."""
    ids = short_ids([run.path.stem for run in runs])
    notes = [problem for run in runs for problem in ([run.problem] if run.problem else run.warnings)]
    if any(run.ending == "lost" and not run.problem for run in runs):
        notes.append(CUT_OFF)
    table = Table(
        title=f"{plural(len(runs), 'run')} in {folder}",
        columns=text_columns("run", "UTC", "machine", "torch", "models", ">rounds", "ended"),
        rows=tuple(list_row(run, name) for run, name in zip(runs, ids, strict=True)),
    )
    for name, values in {"machine": [r.hardware for r in runs], "torch": [r.torch for r in runs]}.items():
        if len(said := {value for value in values if value}) == 1:  # leaves its room to the rest
            notes.append(f"{name} of all: {said.pop()}")
            table = table.without_column(name)
    notes.append("saevit results show RUN: the start of a run's name, or `latest`")
    return replace(table.without_empty_columns(), notes=tuple(notes))


def list_row(run: RunSummary, name: str) -> tuple[str, ...]:
    """One run."""
    if run.problem or run.started is None:
        return name, NONE, NONE, NONE, NONE, NONE, "unreadable"
    return (
        name,
        minute(run.started),
        run.hardware or NONE,
        run.torch or NONE,
        models_text(run.subjects),
        "eval" if run.is_evaluation else str(run.rounds),
        ENDINGS[run.ending],
    )


def short_ids(names: Sequence[str]) -> list[str]:
    """Return for each of the sorted names the start, a date and time or more, that no other one has."""
    found = []
    for i, name in enumerate(names):
        beside = (*names[max(0, i - 1) : i], *names[i + 1 : i + 2])
        same = max((len(common_start(name, other)) for other in beside), default=0)
        found.append(name[: max(TO_THE_SECOND, same + 1)])
    return found


def common_start(one: str, other: str) -> str:
    """Return what both texts begin with."""
    pairs = zip(one, other, strict=False)
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def minute(time: str) -> str:
    """Write a time in UTC to the minute."""
    return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M}"


def models_text(models: Sequence[str]) -> str:
    """Name the first models, and count the rest."""
    names = list(short_names(models).values())
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
