"""A profile as tables: counts, times, a breakdown by stage, block or module, and independent counts."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from saevit.count.breakdown_lines import name_line
from saevit.count.receipt import ReceiptLine
from saevit.profiling import Profile, ProfileRow
from saevit.report.columns import (
    NONE,
    Column,
    Table,
    View,
    attribute_columns,
    make_table,
    row_values,
    size_value,
    text_table,
    write_csv,
    write_json,
)
from saevit.report.latencies import (
    LATENCIES,
    MEDIAN,
    QUARTILES,
    SPREAD,
    THROUGHPUT,
    describe_machine,
    describe_noise_floor,
    list_pass_columns,
    pass_values,
    run_values,
    subject_values,
    tabulate_passes,
    write_ratio,
)
from saevit.report.messages import summarize_breakdown
from saevit.report.operator_tables import list_operator_warnings, summarize_operators, tabulate_operators
from saevit.report.units import (
    FLOPS_PER_MAC,
    bare_names,
    giga,
    milliseconds,
    percent,
    scaled,
    size,
    write_pixels,
)
from saevit.runs.advice import advice
from saevit.runs.run import Run, Subject
from saevit.runs.statistics import median, ratio
from saevit.text import plural

COUNTS: tuple[Column[Profile], ...] = (
    *attribute_columns("model"),
    Column(key="infer_img_size", value=lambda p: size_value(p.img_size)),
    Column(key="param_count", value=lambda p: p.params / 1e6),
    Column(key="infer_gmacs", value=lambda p: p.macs / 1e9),
    Column(key="infer_macts", value=lambda p: None if p.activations is None else p.activations / 1e6),
)
MOST_SCALED = 1.5  # a larger ratio of breakdown and latency causes a warning
TIMINGS: tuple[Column[Subject], ...] = (*LATENCIES, *attribute_columns("failure"))


def view_profile(profile: Profile) -> View:
    """Return the view of a profile: times (if measured), counts, breakdown, receipt."""
    speed = (tabulate_speed(profile.run), *tabulate_passes(profile.run)) if profile.run else ()
    notes = [profile.statement] if profile.statement else []
    if profile.run and profile.run.timed[0].conditions.folded:
        notes.append("timed in the folded form (--no-fold: as defined); MACs are of the network as defined")
    if profile.module_times and profile.breakdown_scale != 1:
        notes.append("ms by module: its share of the breakdown's time, multiplied by the measured latency")
    parts = tabulate_operators(profile) or (tabulate_breakdown(profile),)
    return View(
        result=summarize_profile(profile),
        warnings=tuple(list_warnings(profile)),
        tables=(*speed, tabulate_costs(profile), *parts, tabulate_receipt(profile)),
        notes=tuple(notes),
    )


def summarize_profile(profile: Profile) -> str:
    """Summarize costs, latency and the largest row of the breakdown in two sentences."""
    name = bare_names([profile.model])[profile.model]
    text = f"{name} has {scaled(profile.params)} parameters and {giga(profile.macs)} GMACs"
    if profile.run and profile.run.reference and profile.latency:
        conditions = profile.run.reference.conditions
        where = f"batch {conditions.batch_size}, {conditions.runtime}, {plural(conditions.threads, 'thread')}"
        text = f"{text}, and takes {milliseconds(profile.latency)} ms per batch ({where})"
    return f"{text}. {(summarize_operators if profile.operator_times else summarize_breakdown)(profile)}"


def list_warnings(profile: Profile) -> list[str]:
    """Return warnings about unreliable counts or times of a profile."""
    run, times = profile.run, profile.module_times
    warnings = [
        f"{line.counter} counts other MACs than analytic, first at {', '.join(line.differs_at)}"
        for line in profile.receipt
        if line.agrees is False
    ]
    if run and run.interrupted:
        warnings.append(f"interrupted: the statistics are of the {run.rounds} finished rounds")
    if times and not 1 / MOST_SCALED < profile.breakdown_scale < MOST_SCALED:
        total, latency = milliseconds(profile.sum_of_medians), milliseconds(profile.latency or 0.0)
        warnings.append(
            f"the breakdown took {total} ms per batch, but the latency is {latency} ms: the load of the "
            "machine changed, and the shares of time are not reliable; run again"
        )
    warnings += list_operator_warnings(profile)
    return [*warnings, *(advice(run, "warning") if run else ())]


def tabulate_costs(profile: Profile) -> Table:
    """Return the table of parameters, MACs, FLOPs, activations and memory."""
    rows = [
        ("parameters", scaled(profile.params), f"{profile.params:,}"),
        ("weights", size(profile.weight_bytes), profile.dtype),
        ("MACs", f"{giga(profile.macs)} G", f"{profile.macs:,} of contractions; papers call this GFLOPs"),
        ("FLOPs", scaled(FLOPS_PER_MAC * profile.macs), "2 x MACs"),
    ]
    if profile.attention_macs is not None and profile.dense_attention_macs:
        dense = f"part of the MACs; {scaled(profile.dense_attention_macs)} with dense attention"
        rows.append(("attention MACs", scaled(profile.attention_macs), dense))
    largest = f"largest memory of live activations in {profile.dtype}, without weights"
    counts = [
        ("activations", scaled, profile.activations, "elements written by contractions"),
        ("element-wise", scaled, profile.elementwise, "elements written by all other operations"),
        ("peak activations", size, profile.peak_bytes, largest),
    ]
    rows += [(name, form(count), about) for name, form, count, about in counts if count is not None]
    title = f"Counts per image of {write_pixels(profile.img_size)}, by {profile.counted_by}"
    return text_table(title, ("", ">value", "~meaning"), rows)


def tabulate_speed(run: Run) -> Table:
    """Return the table of latency and throughput with their spread; a note has the noise floor."""
    conditions = run.timed[0].conditions
    dtypes = list(dict.fromkeys(subject.conditions.dtype for subject in run.timed))
    notes = list(dict.fromkeys(note for subject in run.timed for note in subject.notes))
    notes += [describe_precision(subject, other) for subject, other in pair_precisions(run.timed)]
    if run.noise_floor:
        notes.append(describe_noise_floor("the first line", run.noise_floor))

    def ratio_to_first_runtime(subject: Subject) -> str | None:
        first = find_same(run.timed, subject, runtime=conditions.runtime, dtype=conditions.dtype)
        if first is None or first is subject or not subject.samples:
            return None
        return write_ratio(ratio(subject.samples, first.samples))

    def show_reason(subject: Subject) -> str:
        return QUARTILES.cell(subject) if subject.samples else subject.failure or "no sample"

    of_first = f" {conditions.dtype}" if len(dtypes) > 1 else ""
    return make_table(
        f"Speed: {', '.join(dtypes)}, {plural(conditions.threads, 'thread')}, {conditions.memory_format}, "
        f"{plural(run.rounds, 'interleaved round')} on {describe_machine(run)}",
        [
            Column("runtime", lambda one: one.conditions.runtime),
            Column("dtype", lambda one: one.conditions.dtype if of_first else None),
            Column("batch", lambda one: str(one.conditions.batch_size), "right"),
            MEDIAN,
            THROUGHPUT,
            Column(f"time relative to {conditions.runtime}{of_first}", ratio_to_first_runtime),
            replace(QUARTILES, text=show_reason, wraps=True),
            SPREAD,
        ],
        run.timed,
        [*notes, *advice(run, "note")],
    ).without_empty_columns()


def find_same(timed: Sequence[Subject], subject: Subject, **other: str) -> Subject | None:
    """Return the timing whose conditions equal those of a subject, except `other`; None without samples."""
    wanted = replace(subject.conditions, **other)  # type: ignore[arg-type]
    return next((one for one in timed if one.conditions == wanted and one.samples), None)


def pair_precisions(timed: Sequence[Subject]) -> list[tuple[Subject, Subject]]:
    """Return each timing of a further precision, paired with the first precision of the same runtime.

    The runtime of the first row is left out, because the table has its ratios.
    """
    first = timed[0].conditions
    pairs = [
        (subject, find_same(timed, subject, dtype=first.dtype))
        for subject in timed
        if subject.samples and subject.conditions.dtype != first.dtype
    ]
    return [(a, b) for a, b in pairs if b and a.conditions.runtime != first.runtime]


def describe_precision(subject: Subject, other: Subject) -> str:
    """Write the time of a precision relative to another precision of the same runtime."""
    conditions = subject.conditions
    what = f"{conditions.runtime} at batch {conditions.batch_size}, {conditions.dtype} relative to"
    return f"{what} {other.conditions.dtype}: {write_ratio(ratio(subject.samples, other.samples))}"


def tabulate_breakdown(profile: Profile) -> Table:
    """Return the table of parameters, MACs and time of each part, with their total."""
    columns: list[Column[ProfileRow]] = [
        Column("", lambda row: row.path if row is rows[-1] else name_line(row.path, profile.by)),
        Column("MACs", lambda row: scaled(row.macs), "right"),
        Column("share of MACs", lambda row: percent(row.macs / max(1, profile.macs)), "right"),
    ]
    if profile.module_times:
        columns += [
            Column("ms", lambda row: milliseconds(profile.seconds_of(row)) if row.seconds else None, "right"),
            Column(
                "share of time",
                lambda row: percent(profile.share_of_time(row)) if row.seconds else None,
                "right",
            ),
        ]
    columns += [
        Column("params", lambda row: scaled(row.params), "right"),
        Column("n", lambda row: None if row.tokens is None else str(row.tokens), "right"),
        Column("sparsity", lambda row: None if row.sparsity is None else percent(row.sparsity, 2), "right"),
        Column(
            "output", lambda row: f"{row.channels}x{row.height}x{row.width}" if row.pixels else None, "right"
        ),
        Column("N", lambda row: None if row.tokens is None else str(row.pixels), "right"),
    ]
    seconds = (profile.sum_of_medians,) if profile.module_times else ()
    rows = [
        *profile.rows,
        ProfileRow(path="total", params=profile.params, macs=profile.macs, seconds=seconds),
    ]
    table = make_table(f"Breakdown by {profile.by}", columns, rows, describe_breakdown(profile), total=True)
    return table.without_empty_columns()


def describe_breakdown(profile: Profile) -> list[str]:
    """Return the notes on the columns and the times of the breakdown."""
    notes = []
    if any(row.tokens for row in profile.rows):
        notes.append("N: pixels of the map; n: tokens of its attention; sparsity: 1 - (n/N)^2")
    run, times = profile.run, profile.module_times
    if run is None or times is None:
        return notes
    if run.timed[0].conditions.folded and not times.conditions.folded:
        notes.append("shares of time are of the network as defined, because folding merges these modules")
    slower = median(times.watched) / median(times.plain) - 1
    notes.append(
        f"shares of time: medians in eager mode, batch {times.conditions.batch_size}, one module after the "
        f"other, relative to their sum ({milliseconds(profile.sum_of_medians)} ms); reading the clock around "
        f"each module costs {percent(max(0.0, slower))} of the pass"
    )
    return notes


def tabulate_receipt(profile: Profile) -> Table:
    """Return the table of the MACs by independent counters, and by each tool's own definition."""
    columns: list[Column[ReceiptLine]] = [
        Column("counter", lambda line: line.counter),
        Column("MACs", lambda line: "failed" if line.macs is None else f"{line.macs:,}", "right"),
        Column("agrees", lambda line: {None: NONE, True: "yes, in every module", False: "no"}[line.agrees]),
        Column(
            "MACs by default",
            lambda line: None if line.out_of_box is None else f"{line.out_of_box:,}",
            "right",
        ),
    ]
    notes = [note for line in profile.receipt for note in describe_differences(line)]
    return make_table(
        "Receipt: MACs of the same definition by independent counters", columns, profile.receipt, notes
    )


def describe_differences(line: ReceiptLine) -> list[str]:
    """Return the notes on a counter: its differences, its failure, and operators without a formula."""
    name, differs_at = line.counter, ", ".join(map(repr, line.differs_at))
    return [
        *([f"{name}: differs first at {differs_at}"] if differs_at else []),
        *(f"{name} by default: {reason}" for reason in line.reasons),
        *(f"{name}: no formula for {operator} ({calls} calls)" for operator, calls in line.uncounted.items()),
        *(f"{name}: {note}" for note in line.notes),
    ]


def write_profile_json(profile: Profile) -> str:
    """Return a profile with its raw samples as JSON; timm's columns come first."""
    data = row_values(COUNTS, profile) | asdict(replace(profile, run=None, module_times=None))
    del data["run"], data["module_times"]
    data["timings"] = None
    run, times = profile.run, profile.module_times
    if run:
        data["timings"] = run_values(run) | {
            "latencies": [
                subject_values(subject) | pass_values(run, subject) | row_values(TIMINGS, subject)
                for subject in run.timed
            ],
            "breakdown": asdict(times.conditions) if times else None,
            "breakdown_total": times.watched if times else (),
            "breakdown_plain": times.plain if times else (),
            "noise_floor": asdict(run.noise_floor) if run.noise_floor else None,
            "advice": list(advice(run)),
        }
    data |= {"weight_bytes": profile.weight_bytes, "flops": FLOPS_PER_MAC * profile.macs}
    return write_json(data | {"agreed": profile.agreed})


def write_profile_csv(profile: Profile) -> str:
    """Return a profile as CSV with one row per timed configuration, or one row without times."""
    if profile.run is None:
        return write_csv(COUNTS, [profile])
    counts: list[Column[Subject]] = [column.via(lambda subject: profile) for column in COUNTS]
    return write_csv([*counts, *TIMINGS, *list_pass_columns(profile.run)], profile.run.timed)
