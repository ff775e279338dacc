"""The view of `saevit doctor`."""

import re
from dataclasses import asdict

from saevit.doctor import ADDS, IMG_SIZE, REQUIRED, TIMED, Diagnosis, Extra
from saevit.measure.roofs import SIDE
from saevit.report.columns import Table, View, text_table, write_json
from saevit.report.latencies import describe_noise_floor, run_values
from saevit.report.units import digits, percent, size
from saevit.report.views.run import MACHINE, tabulate_machine
from saevit.runs.advice import advice
from saevit.text import list_first, plural

MOST_NAMED = 3  # packages of an extra
SHOWN = ("saevit", "python", "torch", "timm", *(name for name in MACHINE if name not in ("saevit", "torch")))


def view_diagnosis(found: Diagnosis) -> View:
    """Return the view of a diagnosis, with tables of the machine, the extras and the folders."""
    tables = [tabulate_machine(found.environment, SHOWN, list_live(found))]
    tables += [tabulate_extras(found)] if found.extras else []
    folders = ((one.use, one.path, "yes" if one.is_writable else "no") for one in found.folders)
    notes = []
    if found.noise and found.noise.noise_floor:
        notes.append(describe_noise_floor(TIMED, found.noise.noise_floor))
    if not found.extras:
        notes.append("Extras are not known, because saevit is not installed as a package")
    return View(
        result=summarize_diagnosis(found),
        warnings=(*found.problems, *(advice(found.noise, "warning") if found.noise else ())),
        tables=(*tables, text_table("Folders", ("use", "~path", "writable"), folders)),
        notes=tuple(notes),
    )


def summarize_diagnosis(found: Diagnosis) -> str:
    """Summarize whether saevit works, and which differences in time can be resolved at present."""
    works = "saevit works here" if not found.problems else plural(len(found.problems), "problem")
    if not found.noise or found.resolution is None:
        return f"{works}."
    subject = found.noise.timed[0]
    return (
        f"{works}. Now, {plural(found.noise.rounds, 'round')} can resolve differences in time from about "
        f"{percent(found.resolution)} on: {TIMED} was timed against itself ({IMG_SIZE[0]} x {IMG_SIZE[1]} "
        f"px, batch 1, {subject.conditions.device}, {plural(subject.conditions.threads, 'thread')})."
    )


def list_live(found: Diagnosis) -> list[tuple[str, str]]:
    """Return the facts of the machine that are not in an Environment: devices, free memory, load, roofs."""
    rows = [("devices", ", ".join(found.devices)), ("free memory", size(found.free_bytes))]
    rows += [("load average", f"{found.load:.1f}")] if found.load is not None else []
    rows += [("extensions", ", ".join(found.vectors))] if found.vectors else []
    if found.roofs:
        rows.append(
            ("matrix products", f"{digits(found.roofs.macs / 1e9)} GMAC/s now, fp32, {SIDE} x {SIDE}")
        )
        rows.append(("memory traffic", f"{digits(found.roofs.bandwidth / 1e9)} GB/s now"))
    return rows


def tabulate_extras(found: Diagnosis) -> Table:
    """Return a table of the extras with their missing packages; its notes have the versions."""
    rows = [
        (extra.name, name_missing(extra), ADDS.get(extra.name, ""), extra.command)
        for extra in found.extras
        if extra.name != REQUIRED
    ]
    versions = [
        f"{extra.name or 'always needed'}: {', '.join(map(' '.join, extra.installed.items()))}"
        for extra in found.extras
        if extra.installed
    ]
    lacks = [f"{extra.name} lacks {', '.join(extra.missing)}" for extra in found.extras if extra.missing]
    return text_table("Extras", ("extra", "~missing", "~adds", "~to install"), rows, [*lacks, *versions])


def name_missing(extra: Extra) -> str:
    """Write the names of the first missing packages of an extra, and the number of the others."""
    names = [re.split("[<>=!~]", requirement)[0] for requirement in extra.missing]
    return list_first(names, MOST_NAMED) or "nothing"


def write_diagnosis_json(found: Diagnosis) -> str:
    """Return a diagnosis as JSON, with the samples of the noise check."""
    names = ("environment", "devices", "vectors", "free_bytes", "load", "folders", "roofs")
    values = asdict(found)
    return write_json(
        {name: values[name] for name in names}
        | {
            "extras": [asdict(extra) | {"command": extra.command} for extra in found.extras],
            "problems": found.problems,
            "resolution": found.resolution,
            "noise_floor": asdict(floor) if found.noise and (floor := found.noise.noise_floor) else None,
            "noise": run_values(found.noise) if found.noise else None,
        }
    )
