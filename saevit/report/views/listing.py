"""Lists: the presets and keys of variants, and the stored runs."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import takewhile

from saevit.count.cost import count_network
from saevit.report.columns import Column, Table, make_table, text_columns, write_csv, write_json
from saevit.report.names import short_names
from saevit.report.units import giga, scaled
from saevit.runs.run import Ending, RunSummary
from saevit.text import plural
from saevit.variant import KEYS, PRESETS

IMG_SIZE = (224, 224)  # of the presets' costs
TO_THE_SECOND = len("20260131T120000")  # characters of a run's name; more are needed only within one second
MOST_NAMED = 2  # models in one line
ENDINGS: dict[Ending, str] = {"finished": "finished", "interrupted": "interrupted", "lost": "cut off"}
CUT_OFF = "cut off: the run was killed or has not ended yet; its finished rounds are here"


def tabulate_presets() -> Table:
    """Return every preset with its sizes and exact costs."""
    rows = []
    for name, spec in PRESETS.items():
        cost = count_network(spec, IMG_SIZE)
        sizes = ("-".join(map(str, sizes)) for sizes in (spec.dims, spec.depths, spec.num_heads, spec.rates))
        rows.append((name, *sizes, scaled(cost.params), giga(cost.macs)))
    return Table(
        title=f"Presets (GMACs at {IMG_SIZE[0]} x {IMG_SIZE[1]} px, counted by analytic)",
        columns=text_columns("preset", "dims", "depths", "heads", "rates", ">parameters", ">GMACs"),
        rows=tuple(rows),
    )


def tabulate_keys() -> Table:
    """Return the keys that change a preset."""
    return Table(
        title="Keys: PRESET[:key=value,...], for example saevit_small:width=1.25,rates=8-4-2-1,ffn=mlp",
        columns=text_columns("key", "value", "meaning"),
        rows=tuple((name, key.form, key.help) for name, key in KEYS.items()),
        notes=("four values joined by - are one per stage; a single value is used for all four stages",),
    )


RUNS: tuple[Column[RunSummary], ...] = (
    Column(key="run", value=lambda run: run.path.stem),
    Column(key="file", value=lambda run: str(run.path)),
    Column(
        "UTC",
        lambda run: run.started and f"{datetime.fromisoformat(run.started).astimezone(UTC):%Y-%m-%d %H:%M}",
        key="started",
        value=lambda run: run.started,
    ),
    Column("machine", lambda run: run.hardware, key="hardware", value=lambda run: run.hardware),
    Column("torch", lambda run: run.torch, key="torch", value=lambda run: run.torch),
    Column(
        "models",
        lambda run: name_models(run.subjects) if run.started else None,
        key="models",
        value=lambda run: " ".join(run.subjects),  # no name has a space
    ),
    Column(
        "rounds",
        lambda run: "eval" if run.is_evaluation else str(run.rounds) if run.started else None,
        "right",
        key="rounds",
        value=lambda run: None if run.problem else run.rounds,
    ),
    Column(
        "ended",
        lambda run: ENDINGS[run.ending] if run.started else "unreadable",
        key="ending",
        value=lambda run: None if run.problem else run.ending,
    ),
    Column(key="problem", value=lambda run: run.problem),
)


def tabulate_runs(runs: Sequence[RunSummary], folder: str) -> Table:
    """Return one row per run, in the order given; the notes say which files cannot be read."""
    short = dict(zip((run.path for run in runs), shorten_ids([run.path.stem for run in runs]), strict=True))
    table = make_table(
        f"{plural(len(runs), 'run')} in {folder}",
        [Column("run", lambda run: short[run.path]), *RUNS],
        runs,
    )
    notes = [problem for run in runs for problem in ([run.problem] if run.problem else run.warnings)]
    if any(run.ending == "lost" and not run.problem for run in runs):
        notes.append(CUT_OFF)
    for head, values in {"machine": [r.hardware for r in runs], "torch": [r.torch for r in runs]}.items():
        if len(known := {value for value in values if value}) == 1:
            notes.append(f"{head} of all: {known.pop()}")
            table = table.without_column(head)
    notes.append("saevit results show RUN: the start of a run's name, or `latest`")
    return replace(table.without_empty_columns(), notes=tuple(notes))


def shorten_ids(names: Sequence[str]) -> list[str]:
    """Return the start of each sorted name that no other name has: a date and time, or more."""
    short = []
    for i, name in enumerate(names):
        beside = (*names[max(0, i - 1) : i], *names[i + 1 : i + 2])
        same = max((len(find_start(name, other)) for other in beside), default=0)
        short.append(name[: max(TO_THE_SECOND, same + 1)])
    return short


def find_start(one: str, other: str) -> str:
    """Return the longest text that both texts start with."""
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def name_models(models: Sequence[str]) -> str:
    """Return the names of the first models and the number of the others."""
    names = list(short_names(models).values())
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def write_list_json(runs: Sequence[RunSummary]) -> str:
    """Return one JSON object per run, without its samples."""
    entries = []
    for run in runs:
        data = asdict(run) | {"models": list(run.subjects)}
        del data["path"], data["subjects"]
        unknown = {"rounds": None, "ending": None} if run.problem else {}
        entries.append({"run": run.path.stem, "file": str(run.path)} | data | unknown)
    return write_json({"runs": entries})


def write_list_csv(runs: Sequence[RunSummary]) -> str:
    """Return one row per run as CSV."""
    return write_csv(RUNS, runs)
