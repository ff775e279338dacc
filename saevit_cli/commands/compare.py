"""`saevit compare`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from saevit.errors import OptionError
from saevit_cli import display, options, output
from saevit_cli.commands import compare_options as own
from saevit_cli.commands import trial_options
from saevit_cli.commands.compare_networks import check_trained_data, choose_networks, find_accuracies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from saevit.comparing.comparison import Comparison

PHONE = 3.7  # width in inches of a panel on the HTML page
AXES = ("gmacs", "latency")  # default x axes of the plot and the fronts


@trial_options.with_trials
def compare(
    context: typer.Context,
    models: own.Models = None,
    group: own.Group = None,
    reference: own.Reference = None,
    all_models: own.AllModels = False,
    classes: options.Classes = None,
    img_size: options.ImgSize = "224",
    batch_size: options.BatchSize = 1,
    device: options.Device = "auto",
    dtype: options.Dtypes = "fp32",
    runtime: options.Runtimes = "eager",
    threads: options.Threads = None,
    memory_format: options.MemoryFormat = "contiguous",
    rounds: options.Rounds = 15,
    min_time: options.MinTime = 0.1,
    percentiles: options.Percentiles = False,
    measure: options.Measure = True,
    from_store: own.FromStore = None,
    fold: options.Fold = True,
    force: options.Force = False,
    sort: own.Sort = None,
    x: own.AxisX = None,
    y: own.AxisY = None,
    top1: own.Top1 = None,
    train: own.Train = False,
    settings: trial_options.Set = None,
    engine: trial_options.Engine = "local",
    plot: own.Plot = None,
    report: options.Report = None,
    json: options.Json = None,
    csv: options.Csv = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
    *,
    trials: dict[str, Any],
) -> int:
    """Compare models: exact counts, one interleaved timing run, published or measured top-1."""
    from saevit.comparing.compare import DEFAULT_MODELS, make_expected, resolve_models
    from saevit.comparing.compare import compare as compare_models
    from saevit.measure.timing import TimingOptions
    from saevit.report.figure import FORMATS
    from saevit.report.scatter.points import choose_axes
    from saevit.report.views.compare import view_comparison, write_comparison_csv, write_comparison_json
    from saevit.runs.store import find_run

    check_request(context)
    source = find_run(from_store, store, timed=True, on_skip=display.warn) if from_store else None
    outputs = output.Outputs(
        {"--json": json, "--csv": csv, "--report": report, "--plot": plot},
        overwrite=overwrite,
        inputs=[("--from-store", source)],
        endings={"--plot": FORMATS},
    )
    axes = x or (AXES if measure else AXES[:1])
    plot_axes = partial(choose_axes, xs=axes, y=y, is_asked=x is not None)
    names = resolve_models([*(models or ()), *(group or ())], most=None if all_models else own.MOST_MODELS)
    base = resolve_models([reference])[0] if reference else None
    if source:
        result = read_comparison(source, names, base, top1, store)
    else:
        timing = TimingOptions(
            batch_sizes=(batch_size,),
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
        chosen = choose_networks(context, names or resolve_models(DEFAULT_MODELS), base, trials)
        if plot:  # refuses axes before anything is measured
            plot_axes(make_expected(chosen.models, chosen.img_size, chosen.measured, is_timed=measure))
        with outputs.measuring(store, wanted=measure) as (writer, on_progress):
            result = compare_models(
                chosen.models,
                reference=chosen.reference,
                img_size=chosen.img_size,
                dtype=dtype[0],
                timing=timing if measure else None,
                on_progress=on_progress,
                writer=writer,
                measured=chosen.measured,
            )
        result = chosen.outcome.add_reasons(result) if chosen.outcome else result
    if not top1:
        result = hint_evaluations(result, store)
    outputs.show(view_comparison(result, sort, axes))
    is_written = outputs.write(
        {
            "--json": lambda: write_comparison_json(result),
            "--csv": lambda: write_comparison_csv(result),
            "--plot": lambda: draw_plot(result, *plot_axes(result)),
        },
        result.run,
        lambda: draw_panels(result, *plot_axes(result)),
    )
    return output.exit_code(None if source else result.run, failed=result.failed or not is_written)


def check_request(context: typer.Context) -> None:
    """Raise OptionError for options that exclude each other, and warn of options without effect."""
    from saevit.report.metrics import check_axes, sort_candidates

    given = context.params
    sort_candidates((), given["sort"])
    check_axes(given["x"] or (), given["y"] or "top1")
    if not given["measure"]:
        used = ("measure", "dtype", *(["device"] if given["train"] else []))  # trainings use --device
        options.check_unmeasured(context, {"--sort": given["sort"]}, used)
    if given["from_store"]:
        check_as_measured(context)
    if given["train"]:
        check_trained_data(given["top1"], given["classes"])
    else:
        trial_options.refuse_without_training(context, "--train")


def check_as_measured(context: typer.Context) -> None:
    """Raise OptionError if options of a measurement are given together with --from-store."""
    for param in context.command.params:
        name, panel = str(param.name), getattr(param, "rich_help_panel", None)
        fixed = panel in (options.TIME, trial_options.TRAINING) or name in ("img_size", "classes")
        if fixed and name != "from_store" and options.is_given(context, name):
            option = (param.secondary_opts if context.params[name] is False else param.opts)[0]
            raise OptionError(f"{option}: --from-store shows a run as it was measured; remove one of the two")


def read_comparison(
    path: Path, models: list[str], reference: str | None, top1: str | None, store: Path | None
) -> "Comparison":
    """Read a stored run as a comparison, by default with the accuracies that are stored in the run."""
    from saevit.comparing.accuracies import accuracies_of
    from saevit.comparing.compare import comparison_of
    from saevit.runs.store import read_run

    run = read_run(path)
    for warning in run.warnings:
        display.warn(warning)
    definition = run.environment.network
    measured = find_accuracies(top1, store, definition) if top1 else accuracies_of(run)
    return comparison_of(run, models, reference, measured)


def hint_evaluations(result: "Comparison", store: Path | None) -> "Comparison":
    """Add hints at stored evaluations of the models to a comparison of published accuracies."""
    from saevit.comparing.accuracies import add_hints
    from saevit.runs.evaluation import list_top1s

    if result.top1_on:
        return result
    try:
        return add_hints(result, list_top1s(store, display.warn))
    except OptionError:  # the store cannot be read; the hints are not essential
        return result


def draw_plot(result: "Comparison", xs: Sequence[str], y: str, why: str | None) -> "Figure":
    """Draw the plot; if its axes are not the default ones, write the reason `why` on stderr."""
    from saevit.report.scatter.scatter_plot import scatter_figure

    if why:
        display.say(f"{why}; --plot shows {y} against {' and '.join(xs)} instead")
    return scatter_figure(result, xs, y)


def draw_panels(result: "Comparison", xs: Sequence[str], y: str, why: str | None) -> "list[Figure]":
    """Draw each panel as a separate picture, so that phones show them one below the other."""
    from saevit.report.scatter.scatter_plot import scatter_figure

    return [scatter_figure(result, [x], y, PHONE) for x in xs]
