"""Results for other programs: full precision, timm's column names where timm has one.

timm's units: `param_count` and `infer_macts` in millions, `infer_gmacs` in 10^9 MACs, `infer_step_time` in
milliseconds for one batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from saevit.profile import Profile
from saevit.report.columns import Column, write_csv, write_json
from saevit.runs.advice import advice
from saevit.runs.record import Conditions
from saevit.runs.run import Run, Subject
from saevit.runs.statistics import summarize


def profile_json(profile: Profile) -> str:
    """Write everything known, raw samples included, as one JSON object."""
    return write_json(profile_dict(profile))


def profile_dict(profile: Profile) -> dict[str, Any]:
    """Return everything known as plain values: timm's columns first, then ours."""
    data = counted_columns(profile) | asdict(replace(profile, run=None, module_times=None))
    del data["run"], data["module_times"]
    data["timings"] = timings_of(profile) if profile.run else None
    data |= {"weight_bytes": profile.weight_bytes, "flops": 2 * profile.macs, "agreed": profile.agreed}
    return data


def timings_of(profile: Profile) -> dict[str, Any]:
    """Return the run of a profile, with the whole passes of its breakdown and timm's columns."""
    assert profile.run is not None
    run, times, floor = profile.run, profile.module_times, profile.run.noise_floor
    data = run_fields(run)
    data["latencies"] = [subject_fields(subject) | measured_columns(subject) for subject in run.timed]
    data["breakdown"] = asdict(times.conditions) if times else None
    data["breakdown_total"] = times.watched if times else ()
    data["breakdown_plain"] = times.plain if times else ()
    data["noise_floor"] = asdict(floor) if floor else None
    data["advice"] = list(advice(run))
    return data


def run_fields(run: Run) -> dict[str, Any]:
    """Return how a run was measured, and its samples."""
    return {
        "latencies": [subject_fields(subject) for subject in run.timed],
        "twin": run.twin,
        "rounds": run.rounds,
        "min_time": run.min_time,
        "seed": run.seed,
        "environment": asdict(run.environment),
        "started": run.started,
        "load_before": run.load_before,
        "interrupted": run.interrupted,
        "unkept": run.unkept,
        "breakdown": None,
        "breakdown_total": (),
        "breakdown_plain": (),
    }


def subject_fields(subject: Subject) -> dict[str, Any]:
    """Return the samples of one subject and what they depend on."""
    return {
        "conditions": asdict(subject.conditions),
        "label": subject.label,
        "samples": subject.samples,
        "notes": subject.notes,
        "failure": subject.failure,
    }


def profile_csv(profile: Profile) -> str:
    """Write one row for each measured configuration, or one row if nothing was measured."""
    subjects = profile.run.timed if profile.run else ()
    rows = [counted_columns(profile) | measured_columns(subject) for subject in subjects]
    rows = rows or [counted_columns(profile)]
    return csv_text(rows)


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Write rows under their names (None: those of all rows)."""
    names = columns or list(dict.fromkeys(name for row in rows for name in row))
    return write_csv([Column(key=name, value=partial(find, name=name)) for name in names], rows)


def find(row: Mapping[str, Any], name: str) -> Any:
    """Return the value under a name, None if there is none."""
    return row.get(name)


def counted_columns(profile: Profile) -> dict[str, Any]:
    """Return what does not depend on a machine."""
    height, width = profile.img_size
    return {
        "model": profile.model,
        "infer_img_size": height if height == width else f"{height},{width}",
        "param_count": profile.params / 1e6,
        "infer_gmacs": profile.macs / 1e9,
        "infer_macts": None if profile.activations is None else profile.activations / 1e6,
    }


def measured_columns(subject: Subject) -> dict[str, Any]:
    """Return conditions and statistics of one subject; a failed one has its reason in `failure`."""
    return sample_columns(subject.conditions, subject.samples) | {"failure": subject.failure}


def sample_columns(c: Conditions, samples: Sequence[float]) -> dict[str, Any]:
    """Return the conditions and statistics of samples in seconds per batch."""
    seen = summarize(samples) if samples else None
    return {
        "infer_batch_size": c.batch_size,
        "infer_samples_per_sec": c.batch_size / seen.median if seen else None,
        "infer_step_time": seen.median * 1e3 if seen else None,
        "infer_step_time_q1": seen.q1 * 1e3 if seen else None,
        "infer_step_time_q3": seen.q3 * 1e3 if seen else None,
        "spread": seen.spread if seen else None,
        "rounds": len(samples),
        "runtime": c.runtime,
        "device": c.device,
        "dtype": c.dtype,
        "threads": c.threads,
        "memory_format": c.memory_format,
        "folded": c.folded,
    }
