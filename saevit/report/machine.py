"""Results for other programs: full precision, timm's column names where timm has one.

timm's units: `param_count` and `infer_macts` in millions, `infer_gmacs` in 10^9 MACs, `infer_step_time` in
milliseconds for one batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from saevit.report.columns import Column, write_csv, write_json
from saevit.runs.advice import advice
from saevit.runs.profile import Latency, Profile
from saevit.runs.statistics import summarize


def profile_json(profile: Profile) -> str:
    """Write everything known, raw samples included, as one JSON object."""
    return write_json(profile_dict(profile))


def profile_dict(profile: Profile) -> dict[str, Any]:
    """Return everything known as plain values: timm's columns first, then ours."""
    data = counted_columns(profile) | asdict(profile)
    data |= {"weight_bytes": profile.weight_bytes, "flops": 2 * profile.macs, "agreed": profile.agreed}
    if profile.timings:
        floor = profile.timings.noise_floor
        data["timings"]["noise_floor"] = asdict(floor) if floor else None
        data["timings"]["advice"] = list(advice(profile.timings))
        for entry, latency in zip(data["timings"]["latencies"], profile.timings.latencies, strict=True):
            entry |= measured_columns(latency)
    return data


def profile_csv(profile: Profile) -> str:
    """Write one row for each measured configuration, or one row if nothing was measured."""
    latencies = profile.timings.latencies if profile.timings else ()
    rows = [counted_columns(profile) | measured_columns(latency) for latency in latencies]
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


def measured_columns(latency: Latency) -> dict[str, Any]:
    """Return one configuration's conditions and statistics; a failed one has its reason in `failure`."""
    seen = summarize(latency.samples) if latency.samples else None
    c = latency.conditions
    return {
        "infer_batch_size": c.batch_size,
        "infer_samples_per_sec": c.batch_size / seen.median if seen else None,
        "infer_step_time": seen.median * 1e3 if seen else None,
        "infer_step_time_q1": seen.q1 * 1e3 if seen else None,
        "infer_step_time_q3": seen.q3 * 1e3 if seen else None,
        "spread": seen.spread if seen else None,
        "rounds": len(latency.samples),
        "runtime": c.runtime,
        "device": c.device,
        "dtype": c.dtype,
        "threads": c.threads,
        "memory_format": c.memory_format,
        "folded": c.folded,
        "failure": latency.failure,
    }
