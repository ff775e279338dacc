"""Stored runs for other programs: whole runs as JSON, and records as CSV or JSON lines."""

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from saevit.report.columns import Column, attribute_columns, size_value, write_csv, write_json
from saevit.report.latencies import LATENCIES
from saevit.runs.advice import advice
from saevit.runs.lines import head_fields
from saevit.runs.record import Environment, Record
from saevit.runs.run import Run, Subject
from saevit.runs.statistics import median

PASSES = ("latency", "latency_again")  # quantities of the whole network
OF_PASSES = ("infer_samples_per_sec", "infer_step_time", "infer_step_time_q1", "infer_step_time_q3")


def count_column(key: str, quantity: str, divisor: float) -> Column[Record]:
    """Return the column of a count in timm's unit, which is empty in records of other quantities."""

    def value(record: Record) -> float | None:
        return None if record.value is None or record.quantity != quantity else record.value / divisor

    return Column(key=key, value=value)


def as_subject(record: Record) -> Subject | None:
    """Return the conditions and samples of a record as a subject."""
    if record.conditions is None:
        return None
    return Subject(
        label=record.subject, name=record.subject, conditions=record.conditions, samples=record.samples
    )


def environment_column(name: str) -> Column[Record]:
    """Return the column of one fact of the machine or its software; settings are joined by spaces."""

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
    """Return one row per record as CSV; samples are joined by spaces."""
    run_name: Column[tuple[str, Record]] = Column(key="run", value=lambda row: row[0])
    columns = [run_name, *(column.via(lambda row: row[1]) for column in RECORDS)]
    return write_csv(columns, [(run.path.stem, record) for run in runs for record in run.records()])


def write_records_lines(runs: Iterable[Run]) -> str:
    """Return one JSON object per line and record, which `Record.from_dict` reads."""
    return "".join(json.dumps(record.to_dict()) + "\n" for run in runs for record in run.records())


def write_runs_json(runs: Iterable[Run]) -> str:
    """Return several runs as one JSON object."""
    return write_json({"runs": [stored_values(run) for run in runs]})


def write_run_json(run: Run) -> str:
    """Return one run, raw samples included, as JSON."""
    return write_json(stored_values(run))


def stored_values(run: Run) -> dict[str, Any]:
    """Return all that is known of a run; `records` have the samples, in the order of the rounds."""
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
