"""`saevit profile`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saevit_cli import options, output, readers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from saevit.profiling import Profile

Counters = Annotated[
    Any,
    options.of_output(
        parser=readers.read_names,
        metavar="NAME,...",
        help="Counters of MACs: analytic, torch, fvcore, thop; the default is all, and analytic alone needs "
        "no torch.",
    ),
]
Plot = Annotated[Path | None, options.plot_option("the breakdown (with --by op the roofline)")]


def profile(
    context: typer.Context,
    model: options.Model = "saevit_tiny",
    width: options.Width = None,
    depth: options.Depth = None,
    rates: options.Rates = None,
    classes: options.Classes = None,
    settings: options.Set = None,
    img_size: options.ImgSize = "224",
    batch_size: options.BatchSizes = "1,8",
    device: options.Device = "auto",
    dtype: options.Dtypes = "fp32",
    runtime: options.Runtimes = "eager",
    threads: options.Threads = None,
    memory_format: options.MemoryFormat = "contiguous",
    rounds: options.Rounds = 15,
    min_time: options.MinTime = 0.1,
    percentiles: options.Percentiles = False,
    measure: options.Measure = True,
    fold: options.Fold = True,
    force: options.Force = False,
    counters: Counters = None,
    by: options.By = "stage",
    plot: Plot = None,
    report: options.Report = None,
    json: options.Json = None,
    csv: options.Csv = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> int:
    """Count one model exactly, time it, and show the cost of each part."""
    from saevit.measure.timing import TimingOptions
    from saevit.profiling import profile
    from saevit.report.figure import FORMATS
    from saevit.report.views.profile import view_profile, write_profile_csv, write_profile_json

    if not measure:
        options.check_unmeasured(context)
    subject = readers.read_model(model, width, depth, rates, settings, classes)
    outputs = output.Outputs(
        {"--json": json, "--csv": csv, "--plot": plot, "--report": report},
        overwrite=overwrite,
        endings={"--plot": FORMATS},
    )
    plan = TimingOptions(
        batch_sizes=batch_size,
        dtypes=dtype,
        device=device,
        runtimes=runtime,
        threads=threads,
        memory_format=memory_format,
        rounds=rounds,
        min_time=min_time,
        passes=options.PASSES if percentiles else 0,
        fold=fold,
        force=force,
    )
    with outputs.measuring(store, wanted=measure) as (writer, on_progress):
        found = profile(
            subject,
            img_size=img_size,
            dtype=dtype[0],
            counters=counters,
            by=by,
            timing=plan if measure else None,
            on_progress=on_progress,
            writer=writer,
        )
    outputs.show(view_profile(found))
    is_written = outputs.write(
        {
            "--json": lambda: write_profile_json(found),
            "--csv": lambda: write_profile_csv(found),
            "--plot": lambda: draw_plot(found),
        },
        found.run,
    )
    latencies = found.run.timed if found.run else ()
    failed = not is_written or any(latency.failure for latency in latencies)
    return output.exit_code(found.run, failed=failed)


def draw_plot(found: "Profile") -> "Figure":
    """Draw the roofline if operators were timed, else the breakdown."""
    from saevit.report.breakdown_plot import breakdown_figure
    from saevit.report.roofline_plot import roofline_figure

    return (roofline_figure if found.operator_times else breakdown_figure)(found)
