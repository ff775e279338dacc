"""Stored runs for other programs: full precision, timm's column names where timm has one."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

from saevit.report.columns import write_json
from saevit.report.machine import csv_text, sample_columns
from saevit.runs.advice import advice
from saevit.runs.lines import head_fields
from saevit.runs.record import Environment, Record
from saevit.runs.run import Run, RunSummary
from saevit.runs.statistics import median

LIST = ("run", "file", "started", "hardware", "torch", "models", "rounds", "ending", "problem")
TIMM = {"params": ("param_count", 1e6), "macs": ("infer_gmacs", 1e9), "activations": ("infer_macts", 1e6)}
PASSES = ("latency", "latency_again")  # of the whole network, as timm's columns are
RECORD = (
    "run",
    "model",
    "quantity",
    "unit",
    "value",  # a median where there are samples
    "source",
    "time",
    *(column for column, _ in TIMM.values()),
    "infer_img_size",
    "infer_batch_size",
    "infer_samples_per_sec",
    "infer_step_time",
    "infer_step_time_q1",
    "infer_step_time_q3",
    "spread",
    "rounds",
    "runtime",
    "device",
    "dtype",
    "threads",
    "memory_format",
    "folded",
    *(field.name for field in fields(Environment)),
    "samples",
    "notes",
)


def list_json(runs: Sequence[RunSummary]) -> str:
    """Write one object a run."""
    return write_json({"runs": [list_entry(run) for run in runs]})


def list_csv(runs: Sequence[RunSummary]) -> str:
    """Write one row a run; models are joined by spaces, which no name has."""
    entries = [list_entry(run) for run in runs]
    rows = [{k: v for k, v in e.items() if k in LIST} | {"models": " ".join(e["models"])} for e in entries]
    return csv_text(rows, LIST)


def list_entry(run: RunSummary) -> dict[str, Any]:
    """Return what is known of one run without its samples."""
    data = asdict(run)
    path, subjects = data.pop("path"), data.pop("subjects")
    if run.problem:
        data |= {"rounds": None, "ending": None}
    return {"run": path.stem, "file": str(path), **data, "models": list(subjects)}


def runs_json(runs: Iterable[Run]) -> str:
    """Write several runs as one JSON object."""
    return write_json({"runs": [run_entry(run) for run in runs]})


def run_json(run: Run) -> str:
    """Write one run, raw samples included, as one JSON object."""
    return write_json(run_entry(run))


def run_entry(run: Run) -> dict[str, Any]:
    """Return everything of a run as plain values; `records` have the samples, in the order of the rounds."""
    floor = run.noise_floor
    return {
        "run": run.path.stem,
        "file": str(run.path),
        **head_fields(run),
        "rounds": run.rounds,
        "ending": run.ending,
        "failures": run.failures,
        "warnings": list(run.warnings),
        "noise_floor": asdict(floor) if floor else None,
        "advice": list(advice(run)),
        "records": [record.to_dict() for record in run.records()],
    }


def records_csv(runs: Iterable[Run]) -> str:
    """Write one row a record; samples are joined by spaces."""
    return csv_text([record_row(run, record) for run in runs for record in run.records()], RECORD)


def records_lines(runs: Iterable[Run]) -> str:
    """Write one JSON object a line and record; `Record.from_dict` reads each."""
    return "".join(json.dumps(record.to_dict()) + "\n" for run in runs for record in run.records())


def record_row(run: Run, record: Record) -> dict[str, Any]:
    """Return one record's columns; those that do not apply are missing."""
    value = median(record.samples) if record.samples else record.value
    row: dict[str, Any] = {"run": run.path.stem, "model": record.subject, "quantity": record.quantity}
    row |= {"unit": record.unit, "value": value, "source": record.source, "time": record.time}
    if record.value is not None and record.quantity in TIMM:
        column, divisor = TIMM[record.quantity]
        row[column] = record.value / divisor
    if record.environment:
        row |= asdict(record.environment) | {"settings": " ".join(record.environment.settings)}
    samples, notes = " ".join(map(repr, record.samples)), "; ".join(record.notes)
    return row | condition_columns(record) | {"samples": samples, "notes": notes}


def condition_columns(record: Record) -> dict[str, Any]:
    """Return the conditions and, for passes of the whole network, timm's statistics."""
    if record.conditions is None:
        return {}
    height, width = record.conditions.img_size
    columns = sample_columns(record.conditions, record.samples)
    if record.quantity not in PASSES:
        columns = {k: v for k, v in columns.items() if not k.startswith(("infer_step", "infer_samples"))}
    return {"infer_img_size": height if height == width else f"{height},{width}"} | columns
