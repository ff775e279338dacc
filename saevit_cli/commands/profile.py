"""`saevit profile`."""

from typing import TYPE_CHECKING

import typer

from saevit_cli import options, output, readers

if TYPE_CHECKING:
    from pathlib import Path

    from saevit.results.profile import Profile


def profile(
    model: options.Model = "saevit_tiny",
    width: options.Width = None,
    depth: options.Depth = None,
    sparsity: options.Sparsity = None,
    settings: options.Set = None,
    img_size: options.ImgSize = "224",
    batch_size: options.BatchSize = "1,8",
    device: options.Device = "auto",
    dtype: options.DtypeName = "fp32",
    runtime: options.Runtimes = "eager",
    threads: options.Threads = None,
    memory_format: options.Layout = "contiguous",
    rounds: options.Rounds = "15",
    min_time: options.MinTime = "0.1",
    measure: options.Measure = True,
    fold: options.Fold = True,
    force: options.Force = False,
    counters: options.Counters = None,
    by: options.ByName = "stage",
    plot: options.Plot = None,
    json: options.Json = None,
    csv: options.Csv = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Count one model exactly, time it honestly, and show where both go."""
    from saevit.measure.plan import Plan
    from saevit.profile import profile

    subject = readers.read_model(model, width, depth, sparsity, settings or [])
    check_outputs(str(plot) if plot else None, json, csv, overwrite=overwrite)
    plan = Plan(
        batch_sizes=readers.read_batches(batch_size),
        device=device,
        runtimes=readers.read_names(runtime),
        threads=readers.read_threads(threads),
        memory_format=readers.read_layout(memory_format),
        rounds=readers.read_rounds(rounds),
        min_time=readers.read_min_time(min_time),
        fold=fold,
        force=force,
    )
    with output.kept(store, wanted=measure) as writer, output.progress() as tell:
        found = profile(
            subject,
            img_size=readers.read_size(img_size),
            dtype=readers.read_dtype(dtype),
            counters=readers.read_names(counters) if counters is not None else None,
            by=readers.read_by(by),
            plan=plan if measure else None,
            on_step=lambda step: tell(step.text, step.done, step.eta),
            writer=writer,
        )
    emit(found, plot, json, csv)
    failed = found.timings is not None and any(latency.failure for latency in found.timings.latencies)
    raise typer.Exit(output.exit_code(found.timings, failed=failed))


def emit(found: "Profile", plot: "Path | None", json: str | None, csv: str | None) -> None:
    """Write what was asked for; the tables go to stdout unless data does."""
    from saevit.report import machine
    from saevit.report.figure import save
    from saevit.report.plots import breakdown_figure
    from saevit.report.tables import profile_tables

    if plot:
        output.write_file(plot, lambda path: save(breakdown_figure(found), path))
    if json:
        output.write_text(json, machine.profile_json(found))
    if csv:
        output.write_text(csv, machine.profile_csv(found))
    if output.STDOUT not in (json, csv):
        output.show(profile_tables(found))


def check_outputs(plot: str | None, json: str | None, csv: str | None, *, overwrite: bool) -> None:
    """Refuse what cannot be written before any work starts."""
    from saevit.report.figure import FORMATS

    output.check_one_stdout(json=json, csv=csv)
    output.check_target("--plot", plot, overwrite=overwrite, endings=FORMATS)
    output.check_target("--json", json, overwrite=overwrite)
    output.check_target("--csv", csv, overwrite=overwrite)
