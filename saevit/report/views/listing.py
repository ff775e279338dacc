"""Lists of presets, keys and stored runs; stored runs as JSON, CSV or JSON lines."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import Any

from saevit.count.cost import Cost, count_network
from saevit.report.accuracy_texts import describe_training
from saevit.report.columns import (
    Column,
    Table,
    View,
    attribute_columns,
    make_table,
    number_column,
    row_values,
    size_value,
    text_column,
    text_table,
    write_csv,
    write_json,
)
from saevit.report.latencies import LATENCIES
from saevit.report.run_messages import summarize_store
from saevit.report.units import giga, scaled, short_names
from saevit.runs.advice import advice
from saevit.runs.lines import head_fields
from saevit.runs.record import Environment, Record
from saevit.runs.run import Ending, Run, RunSummary, Subject
from saevit.runs.statistics import median
from saevit.text import list_first
from saevit.variant import KEYS, PRESETS, VariantSpec

Preset = tuple[str, VariantSpec, Cost]

IMG_SIZE = (224, 224)  # of the presets' costs
TO_THE_SECOND = len("20260131T120000")  # characters of a run's name that are usually unique
MOST_NAMED = 2  # models in one line
ENDINGS: dict[Ending, str] = {"finished": "finished", "interrupted": "interrupted", "lost": "incomplete"}
CUT_OFF = "incomplete: the run was stopped or is still running; its finished rounds are shown"
PASSES = ("latency", "latency_again")  # quantities of the whole network
OF_PASSES = ("infer_samples_per_sec", "infer_step_time", "infer_step_time_q1", "infer_step_time_q3")


def join_sizes(field: str) -> Callable[[Preset], str]:
    """Return a function that writes the values of a field of a preset, one per stage."""
    return lambda preset: "-".join(map(str, getattr(preset[1], field)))


PRESET_COLUMNS: tuple[Column[Preset], ...] = (
    text_column("preset", "model", lambda preset: preset[0]),
    number_column("GMACs", "infer_gmacs", lambda preset: preset[2].macs, giga, 1e9),
    number_column("params", "param_count", lambda preset: preset[2].params, scaled, 1e6),
    *(
        text_column(head, head, join_sizes(field))
        for head, field in (
            ("dims", "dims"),
            ("depths", "depths"),
            ("heads", "num_heads"),
            ("rates", "rates"),
        )
    ),
)


def list_presets() -> list[Preset]:
    """Return the name, the variant and the exact costs of every preset."""
    return [(name, spec, count_network(spec, IMG_SIZE)) for name, spec in PRESETS.items()]


def view_variants() -> View:
    """Return the view of the presets with their exact costs, and of the keys of variants."""
    presets = make_table(
        f"Presets: counts per image of {IMG_SIZE[0]} x {IMG_SIZE[1]} px", PRESET_COLUMNS, list_presets()
    )
    keys = text_table(
        "Keys", ("key", "value", "~meaning"), ((name, key.form, key.help) for name, key in KEYS.items())
    )
    return View(
        result="A variant is written PRESET[:key=value,...], such as saevit_small:width=1.25,ffn=mlp.",
        tables=(presets, keys),
        notes=("a-b-c-d: one value per stage; a single value is used for all four stages",),
    )


def write_variants_json() -> str:
    """Return the presets and the keys as JSON."""
    return write_json(
        {
            "presets": [row_values(PRESET_COLUMNS, preset) for preset in list_presets()],
            "keys": {name: {"value": key.form, "meaning": key.help} for name, key in KEYS.items()},
        }
    )


def write_presets_csv() -> str:
    """Return the presets as CSV with one row per preset."""
    return write_csv(PRESET_COLUMNS, list_presets())


RUNS: tuple[Column[RunSummary], ...] = (  # in the order of CSV files
    Column(key="run", value=lambda run: run.path.stem),
    Column(key="file", value=lambda run: str(run.path)),
    Column(
        "started (UTC)",
        lambda run: run.started and f"{datetime.fromisoformat(run.started).astimezone(UTC):%Y-%m-%d %H:%M}",
        key="started",
        value=lambda run: run.started,
    ),
    text_column("machine", "hardware", lambda run: run.hardware),
    text_column("torch", "torch", lambda run: run.torch),
    Column(
        "models",
        lambda run: list_first([*short_names(run.subjects).values()], MOST_NAMED) if run.started else None,
        key="models",
        value=lambda run: " ".join(run.subjects),  # names have no spaces
        wraps=True,
    ),
    Column(
        "rounds",
        lambda run: "eval" if run.is_evaluation else str(run.rounds) if run.started else None,
        "right",
        key="rounds",
        value=lambda run: None if run.problem else run.rounds,
    ),
    Column(
        "state",
        lambda run: ENDINGS[run.ending] if run.started else "unreadable",
        key="ending",
        value=lambda run: None if run.problem else run.ending,
    ),
    Column(
        "training",
        lambda run: describe_training(run.training) if run.training else None,
        key="training_terms",
        value=lambda run: run.training.recipe if run.training else None,
    ),
    Column(key="training_seed", value=lambda run: run.training.seed if run.training else None),
    Column(key="training_epochs", value=lambda run: run.training.epoch if run.training else None),
    *attribute_columns("problem"),
)
SHOWN = (
    "models",
    "rounds",
    "state",
    "training",
    "started (UTC)",
    "machine",
    "torch",
)  # sorted by importance


def view_runs(runs: Sequence[RunSummary], folder: str) -> View:
    """Return the view of stored runs; its warnings name the files that cannot be read."""
    problems = [problem for run in runs for problem in ([run.problem] if run.problem else run.warnings)]
    if any(run.ending == "lost" and not run.problem for run in runs):
        problems.append(CUT_OFF)
    return View(
        result=summarize_store(runs, folder),
        warnings=tuple(problems),
        tables=(tabulate_runs(runs),) if runs else (),
        notes=("saevit results show RUN shows one of them: `latest`, or the start of its name",)
        if runs
        else (),
    )


def tabulate_runs(runs: Sequence[RunSummary]) -> Table:
    """Return a table with one row per run; a machine or torch that all runs share is in the notes."""
    short = dict(zip((run.path for run in runs), shorten_ids([run.path.stem for run in runs]), strict=True))
    heads = {column.head: column for column in RUNS}
    columns = [Column("run", lambda run: short[run.path]), *(heads[head] for head in SHOWN)]
    table = make_table("Stored runs, the newest last", columns, runs)
    notes = []
    for head, values in {"machine": [r.hardware for r in runs], "torch": [r.torch for r in runs]}.items():
        if len(known := {value for value in values if value}) == 1:
            notes.append(f"{head} of all runs: {known.pop()}")
            table = table.without_column(head)
    return replace(table.without_empty_columns(), notes=tuple(notes))


def shorten_ids(names: Sequence[str]) -> list[str]:
    """Return the shortest unique prefix of each sorted name, which has at least the date and the time."""
    short = []
    for i, name in enumerate(names):
        beside = (*names[max(0, i - 1) : i], *names[i + 1 : i + 2])
        length = TO_THE_SECOND
        while length < len(name) and any(other.startswith(name[:length]) for other in beside):
            length += 1
        short.append(name[:length])
    return short


def write_list_json(runs: Sequence[RunSummary]) -> str:
    """Return the stored runs as JSON, without their samples."""
    entries = []
    for run in runs:
        data = asdict(run) | {"models": list(run.subjects)}
        del data["path"], data["subjects"]
        unknown = {"rounds": None, "ending": None} if run.problem else {}
        entries.append({"run": run.path.stem, "file": str(run.path)} | data | unknown)
    return write_json({"runs": entries})


def write_list_csv(runs: Sequence[RunSummary]) -> str:
    """Return the stored runs as CSV with one row per run."""
    return write_csv(RUNS, runs)


def count_column(key: str, quantity: str, divisor: float) -> Column[Record]:
    """Return the column of a count in timm's unit; it is empty in records of other quantities."""
    return number_column("", key, lambda r: r.value if r.quantity == quantity else None, scaled, divisor)


def as_subject(record: Record) -> Subject | None:
    """Return the conditions and the samples of a record as a subject; None without conditions."""
    if record.conditions is None:
        return None
    return Subject(
        label=record.subject, name=record.subject, conditions=record.conditions, samples=record.samples
    )


def environment_column(name: str) -> Column[Record]:
    """Return the column of one field of the environment; tuples are joined by spaces."""

    def value(record: Record) -> Any:
        fact = getattr(record.environment, name, None)
        return " ".join(fact) if isinstance(fact, tuple) else fact

    return Column(key=name, value=value)


RECORDS: tuple[Column[Record], ...] = (
    *attribute_columns(model="subject", quantity="quantity", unit="unit"),
    Column(key="value", value=lambda record: median(record.samples) if record.samples else record.value),
    *attribute_columns("source", "time"),
    count_column("param_count", "params", 1e6),
    count_column("infer_gmacs", "macs", 1e9),
    count_column("infer_macts", "activations", 1e6),
    Column(key="infer_img_size", value=lambda r: size_value(r.conditions.img_size) if r.conditions else None),
    *(
        column.via(lambda r: as_subject(r) if r.quantity in PASSES else None)
        if column.key in OF_PASSES
        else column.via(as_subject)
        for column in LATENCIES
    ),
    *(environment_column(field.name) for field in fields(Environment)),
    Column(key="samples", value=lambda record: " ".join(map(repr, record.samples))),
    Column(key="notes", value=lambda record: "; ".join(record.notes)),
)


def write_records_csv(runs: Iterable[Run]) -> str:
    """Return the records of runs as CSV with one row per record; samples are joined by spaces."""
    run_name: Column[tuple[str, Record]] = Column(key="run", value=lambda row: row[0])
    columns = [run_name, *(column.via(lambda row: row[1]) for column in RECORDS)]
    return write_csv(columns, [(run.path.stem, record) for run in runs for record in run.records()])


def write_records_lines(runs: Iterable[Run]) -> str:
    """Return the records of runs as JSON lines, which `Record.from_dict` reads."""
    return "".join(json.dumps(record.to_dict()) + "\n" for run in runs for record in run.records())


def write_runs_json(runs: Iterable[Run]) -> str:
    """Return several runs as one JSON object."""
    return write_json({"runs": [stored_values(run) for run in runs]})


def write_run_json(run: Run) -> str:
    """Return one run with its raw samples as JSON."""
    return write_json(stored_values(run))


def stored_values(run: Run) -> dict[str, Any]:
    """Return the data of a run for JSON; `records` have the samples in the order of the rounds."""
    return {
        "run": run.path.stem,
        "file": str(run.path),
        **head_fields(run),
        "rounds": run.rounds,
        "ending": run.ending,
        "failures": run.failures,
        "warnings": list(run.warnings),
        "noise_floor": asdict(run.noise_floor) if run.noise_floor else None,
        "advice": list(advice(run)),
        "records": [record.to_dict() for record in run.records()],
    }
