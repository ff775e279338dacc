"""Results to tables of text, ready to be drawn by a terminal or written plainly."""

from saevit.count.receipt import ReceiptLine
from saevit.profile import Profile, ProfileRow
from saevit.report.columns import NONE, Table, text_columns
from saevit.report.units import digits, flops, giga, interval, milliseconds, percent, scaled, size, thousands
from saevit.runs.advice import advice
from saevit.runs.run import Run, Subject
from saevit.runs.statistics import median, ratio, summarize


def profile_tables(profile: Profile) -> tuple[Table, ...]:
    """Return the tables of a profile: summary, speed (if measured), breakdown, receipt."""
    speed = (speed_table(profile),) if profile.run else ()
    return (summary_table(profile), *speed, breakdown_table(profile), receipt_table(profile))


def summary_table(profile: Profile) -> Table:
    """Parameters, MACs and FLOPs, activations, memory."""
    height, width = profile.img_size
    rows = [
        ("parameters", f"{scaled(profile.params)}", thousands(profile.params)),
        ("weights", size(profile.weight_bytes), profile.dtype),
        ("GMACs", giga(profile.macs), f"{thousands(profile.macs)} MACs of contractions"),
        ("GFLOPs", giga(profile.macs), "1 MAC = 1, as papers count"),
        ("FLOPs", f"{scaled(flops(profile.macs))}", "2 x MAC"),
    ]
    if profile.attention_macs is not None and profile.dense_attention_macs:
        share = f"{scaled(profile.dense_attention_macs)} if it were dense"
        rows.append(("attention MACs", scaled(profile.attention_macs), share))
    if profile.activations is not None:
        rows.append(("activations", scaled(profile.activations), "elements written by contractions"))
    if profile.elementwise is not None:
        rows.append(("element-wise", scaled(profile.elementwise), "elements written by everything else"))
    if profile.peak_bytes is not None:
        rows.append(
            ("peak activations", size(profile.peak_bytes), f"alive at once, {profile.dtype}, weights apart")
        )
    return Table(
        title=f"{profile.model}, one image of {height} x {width} px, counted by {profile.counted_by}",
        columns=text_columns("", ">value", "what it is"),
        rows=tuple(rows),
        notes=(profile.statement,),
    )


def speed_table(profile: Profile) -> Table:
    """Latency and throughput with their spread, and the noise floor of this machine."""
    timings = profile.run
    assert timings is not None
    conditions = timings.timed[0].conditions
    notes = [note for latency in timings.timed for note in latency.notes]
    if conditions.folded:
        notes.append("timed in the folded form (--no-fold: as defined); MACs are of the network as defined")
    floor = timings.noise_floor
    if floor:
        notes.append(
            f"noise floor: the first line against itself, {interval(floor.median, floor.low, floor.high)} "
            f"at {percent(floor.confidence, 0)} confidence"
        )
    if timings.interrupted:
        notes.append(f"interrupted: the figures are of the {timings.rounds} rounds that were finished")
    threads = f"{conditions.threads} thread{'s' * (conditions.threads > 1)}"
    table = Table(
        title=f"Speed on {machine_name(timings)}: {conditions.dtype}, {threads}, "
        f"{conditions.memory_format}, {timings.rounds} interleaved rounds",
        columns=text_columns(
            "runtime",
            ">batch",
            ">ms/batch",
            ">quartiles",
            ">spread",
            ">images/s",
            f"ratio to {conditions.runtime}",
        ),
        rows=tuple(speed_row(latency, timings.timed) for latency in timings.timed),
        notes=(*notes, *advice(timings)),
    )
    return table.without_empty_columns()


def speed_row(latency: Subject, all_of_them: tuple[Subject, ...]) -> tuple[str, ...]:
    """One configuration; a failed one shows its reason."""
    runtime, batch = latency.conditions.runtime, latency.conditions.batch_size
    if not latency.samples:
        return runtime, str(batch), "failed", latency.failure or "no sample", NONE, NONE, NONE
    seen = summarize(latency.samples)
    return (
        runtime,
        str(batch),
        milliseconds(seen.median),
        f"{milliseconds(seen.q1)} .. {milliseconds(seen.q3)}",
        percent(seen.spread),
        digits(batch / seen.median),
        ratio_text(latency, all_of_them),
    )


def ratio_text(latency: Subject, all_of_them: tuple[Subject, ...]) -> str:
    """Compare with the first runtime at the same batch size, round by round: below 1 is faster."""
    runtime, batch = all_of_them[0].conditions.runtime, latency.conditions.batch_size
    same = [a for a in all_of_them if a.conditions.runtime == runtime and a.conditions.batch_size == batch]
    if not same or same[0] is latency or not same[0].samples:
        return NONE
    seen = ratio(latency.samples, same[0].samples)
    return f"{interval(seen.median, seen.low, seen.high)} {seen.verdict}"


def machine_name(timings: Run) -> str:
    """Name the accelerator or the processor that the figures are from."""
    environment, conditions = timings.environment, timings.timed[0].conditions
    name = environment.cpu if conditions.device == "cpu" else environment.accelerator
    return f"{conditions.device} ({name})"


def breakdown_table(profile: Profile) -> Table:
    """Where parameters, MACs and time go, so that one sees where MACs and time disagree."""
    timed = profile.module_times is not None
    columns = [">output", ">N", ">n", ">sparsity", ">params", ">MACs", ">share"]
    if timed:
        columns += [">ms", ">share of time"]
    rows = [breakdown_row(profile, row, timed=timed) for row in profile.rows]
    return (
        Table(
            title=f"By {profile.by}",
            columns=text_columns("", *columns),
            rows=(*rows, total_row(profile, timed=timed)),
            notes=breakdown_notes(profile) if timed else (),
            total=True,
        )
    ).without_empty_columns()


def breakdown_row(profile: Profile, row: ProfileRow, *, timed: bool) -> tuple[str, ...]:
    """One stage, block or module."""
    texts = [
        row.path or "(elsewhere)",
        "x".join(map(str, (row.channels, row.height, row.width))) if row.channels and row.height else NONE,
        str(row.pixels) if row.tokens is not None else NONE,
        str(row.tokens) if row.tokens is not None else NONE,
        NONE if row.sparsity is None else percent(row.sparsity, 2),
        scaled(row.params),
        scaled(row.macs),
        percent(row.macs / profile.macs if profile.macs else 0),
    ]
    if timed:
        seconds = median(row.seconds) if row.seconds else None
        texts += (
            [NONE, NONE] if seconds is None else [milliseconds(seconds), percent(time_share(profile, row))]
        )
    return tuple(texts)


def time_share(profile: Profile, row: ProfileRow) -> float:
    """Median over rounds of the row's share of its round's pass."""
    assert profile.module_times is not None
    pairs = zip(row.seconds, profile.module_times.watched, strict=True)
    return median([seconds / total for seconds, total in pairs])


def total_row(profile: Profile, *, timed: bool) -> tuple[str, ...]:
    """The whole network."""
    texts = ["total", NONE, NONE, NONE, NONE, scaled(profile.params), scaled(profile.macs), percent(1)]
    if timed:
        assert profile.module_times is not None
        texts += [milliseconds(median(profile.module_times.watched)), percent(1)]
    return tuple(texts)


def breakdown_notes(profile: Profile) -> tuple[str, ...]:
    """How the rows' times were measured and what measuring them cost."""
    times = profile.module_times
    assert profile.run is not None
    assert times is not None
    hooked, plain = median(times.watched), median(times.plain)
    folded = profile.run.timed[0].conditions.folded and not times.conditions.folded
    form = ("the network as it is defined: folding leaves none of these modules alone",) if folded else ()
    return (
        *form,
        f"ms: medians in eager mode, batch {times.conditions.batch_size}, one module after the other; "
        f"reading the clock around each costs {percent(max(0.0, hooked / plain - 1))} of the pass",
    )


def receipt_table(profile: Profile) -> Table:
    """The independent counts, and what the tools say unaided and why."""
    rows, notes = [], []
    for line in profile.receipt:
        rows.append(receipt_row(line))
        notes += receipt_notes(line)
    return Table(
        title="Receipt: independent counts of the same definition",
        columns=text_columns("counter", ">MACs", "agrees", ">out of the box"),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def receipt_row(line: ReceiptLine) -> tuple[str, ...]:
    """One counter."""
    agrees = {None: NONE, True: "yes, in every module", False: "NO"}[line.agrees]
    return (
        line.counter,
        "failed" if line.macs is None else thousands(line.macs),
        agrees,
        NONE if line.out_of_box is None else f"{line.out_of_box:,}",
    )


def receipt_notes(line: ReceiptLine) -> list[str]:
    """Why a counter differs, fails, or may have missed something."""
    notes = (
        [f"{line.counter}: differs first at {', '.join(map(repr, line.differs_at))}"]
        if line.differs_at
        else []
    )
    notes += [f"{line.counter} out of the box: {reason}" for reason in line.reasons]
    notes += [
        f"{line.counter}: no formula for {name} ({calls} calls)" for name, calls in line.uncounted.items()
    ]
    return notes + [f"{line.counter}: {note}" for note in line.notes]
