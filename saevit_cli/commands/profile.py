"""`saevit profile`."""

from functools import partial
from typing import TYPE_CHECKING

import typer

from saevit_cli import options, output, readers

if TYPE_CHECKING:
    from pathlib import Path

    from saevit.runs.profile import Profile


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
    from saevit.report.figure import FORMATS

    subject = readers.read_model(model, width, depth, sparsity, settings or [])
    output.check_targets(
        (("--plot", plot), ("--json", json), ("--csv", csv)), overwrite=overwrite, endings={"--plot": FORMATS}
    )
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
    is_written = emit(found, plot, json, csv)
    latencies = found.timings.latencies if found.timings else ()
    failed = not is_written or any(latency.failure for latency in latencies)
    raise typer.Exit(output.exit_code(found.timings, failed=failed))


def emit(found: "Profile", plot: "Path | None", json: str | None, csv: str | None) -> bool:
    """Show the tables, unless data go to stdout, then write what was asked for. Was all of it written?"""
    from saevit.report.figure import save
    from saevit.report.plots import breakdown_figure
    from saevit.report.views.profile import tabulate_profile, write_profile_csv, write_profile_json

    if output.STDOUT not in (json, csv):
        output.show(tabulate_profile(found))
    return output.write_all(
        ("--json", json, lambda: write_profile_json(found)),
        ("--csv", csv, lambda: write_profile_csv(found)),
        ("--plot", plot, lambda: partial(save, breakdown_figure(found))),
    )
