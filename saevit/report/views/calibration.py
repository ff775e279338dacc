"""A calibration of latency as a table of its errors on held-out variants."""

from dataclasses import asdict
from typing import Any

from saevit.explore.calibration import STATED, WITHIN, Agreement, Calibration, HeldOut
from saevit.report.columns import (
    Column,
    View,
    make_table,
    number_column,
    row_values,
    text_column,
    write_csv,
    write_json,
)
from saevit.report.units import giga, milliseconds, percent
from saevit.runs.advice import advice
from saevit.runs.statistics import median
from saevit.text import plural

COLUMNS: tuple[Column[HeldOut], ...] = (
    text_column("variant", "model", lambda row: row.model),
    number_column("predicted (ms)", "predicted_latency_s", lambda row: row.predicted, milliseconds),
    number_column("measured (ms)", "measured_latency_s", lambda row: row.measured, milliseconds),
    number_column("error (%)", "error", lambda row: row.error, lambda error: f"{100 * error:+.1f}"),
    number_column("GMACs", "macs", lambda row: row.macs, giga),
)


def view_calibration(found: Calibration) -> View:
    """Return the errors of a calibration on variants that were not used in the fit."""
    parts = len(found.run.timed) - len(found.held_out)
    title = f"Latency of {plural(len(found.held_out), 'variant')}, each predicted by the fit over the others"
    a, b, c = found.model.coefficients
    notes = [
        f"{found.conditions}; {plural(parts, 'part')} and {plural(len(found.held_out), 'variant')} in "
        f"{plural(found.run.rounds, 'interleaved round')}",
        f"latency = {milliseconds(a)} ms + {b:.3f} x sum of parts + {1e6 * c:.1f} us x number of parts",
        f"rank correlation with measured latency: predicted {write_agreement(found.agreement)}, "
        f"MACs {write_agreement(found.macs_agreement)}",
    ]
    rows = sorted(found.held_out, key=lambda row: row.measured)
    return View(
        result=summarize_calibration(found),
        warnings=advice(found.run, "warning"),
        tables=(make_table(title, COLUMNS, rows, notes),),
        notes=(
            f"Rank correlation with measured latency: {write_agreement(found.agreement)}, of MACs "
            f"{write_agreement(found.macs_agreement)}.",
        ),
    )


def summarize_calibration(found: Calibration) -> str:
    """Summarize the error on held-out variants in one sentence."""
    shares = " and ".join(
        f"{percent(found.share_within(error).value, 0)} within {percent(error, 0)}" for error in WITHIN
    )
    return (
        f"The latency of a variant is predicted with a median error of {percent(median(found.errors))}; of "
        f"{len(found.held_out)} held-out variants, {shares}."
    )


def write_agreement(found: Agreement | None) -> str:
    """Write a rank correlation with its interval."""
    return f"{found.rho:+.2f} [{found.low:.2f}, {found.high:.2f}]" if found else "undefined"


def describe_prediction(found: Calibration) -> str:
    """Describe the calibration of a predicted latency, and its error."""
    return (
        f"Latency per batch is predicted for {found.conditions}, from the calibration of "
        f"{found.run.started[:16].replace('T', ' ')} UTC: {percent(STATED, 0)} of its held-out variants were "
        f"within {percent(found.stated_error)}."
    )


def calibration_data(found: Calibration) -> dict[str, Any]:
    """Return the facts of a calibration for JSON."""
    return {
        "run": found.run.path.stem,
        "started": found.run.started,
        "conditions": str(found.conditions),
        "coefficients": list(found.model.coefficients),
        "median_error": median(found.errors),
        "error_of_90_percent": found.stated_error,
        "rank_correlation": found.agreement and asdict(found.agreement),
        "rank_correlation_of_macs": found.macs_agreement and asdict(found.macs_agreement),
    }


def calibration_json(found: Calibration) -> str:
    """Return a calibration as one JSON object."""
    rows = [row_values(COLUMNS, row) for row in found.held_out]
    return write_json({**calibration_data(found), "variants": rows})


def calibration_csv(found: Calibration) -> str:
    """Return CSV with one row per held-out variant."""
    return write_csv(COLUMNS, found.held_out)
