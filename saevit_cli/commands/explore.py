"""`saevit explore`."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from saevit.errors import OptionError, need
from saevit_cli import display, options, output
from saevit_cli.commands import explore_options as own
from saevit_cli.commands import latency_options as latency
from saevit_cli.commands import trial_options
from saevit_cli.commands.explore_best import measure_best, train_best
from saevit_cli.commands.explore_one import refuse_choices, show_sensitivity, solve_key
from saevit_cli.commands.explore_search import choose_space, make_question, run_search

if TYPE_CHECKING:
    from saevit.explore.exploration import Exploration


@trial_options.with_trials
def explore(
    context: typer.Context,
    model: own.Variant = "saevit_tiny",
    width: own.Width = None,
    depth: own.Depth = None,
    rates: own.Rates = None,
    settings: own.Set = None,
    space: own.SpaceFile = None,
    img_size: options.ImgSize = "224",
    max_gmacs: own.MaxGmacs = None,
    gmacs_band: own.Band = None,
    max_params: own.MaxParams = None,
    max_activations: own.MaxActivations = None,
    max_memory: own.MaxMemory = None,
    max_traffic: own.MaxTraffic = None,
    max_latency: latency.MaxLatency = None,
    max_effectiveness: own.MaxRho = None,
    monotone: own.Monotone = False,
    objectives: own.Objectives = None,
    rank_by: own.Rank = None,
    top: own.Top = 5,
    method: own.Method = "auto",
    samples: own.Samples = 10**6,
    seed: own.Seed = 0,
    jobs: own.Jobs = None,
    engine: own.EngineName = "local",
    resume: own.Resume = None,
    solve: own.Solve = None,
    target_gmacs: own.Target = None,
    sensitivity: own.Sensitive = False,
    measure_top: own.MeasureTop = None,
    reference: own.Reference = None,
    calibrate: latency.Calibrate = False,
    runtime: latency.Runtime = "eager",
    device: options.Device = "auto",
    dtype: options.Dtype = "fp32",
    train_top: trial_options.TrainTop = None,
    data: trial_options.Data = None,
    batch_size: options.BatchSize = 1,
    threads: options.Threads = None,
    rounds: options.Rounds = 15,
    min_time: options.MinTime = 0.1,
    store: options.Store = None,
    plot: own.Plot = None,
    report: options.Report = None,
    csv: own.Csv = None,
    json: own.Json = None,
    parquet: own.Parquet = None,
    overwrite: options.Overwrite = False,
    *,
    trials: dict[str, Any],
) -> int:
    """Search a space of variants by costs: fronts, the best within limits, the largest for a budget."""
    from saevit.models import check_img_size
    from saevit.report.figure import FORMATS
    from saevit.variant import parse

    given = locals() | trials
    outputs = output.Outputs(
        {"--csv": csv, "--json": json, "--parquet": parquet, "--plot": plot, "--report": report},
        overwrite=overwrite,
        inputs=(("--space", space), ("--resume", resume)),
        endings={"--plot": FORMATS, "--parquet": (".parquet",)},
    )
    if (measure_top or train_top) and outputs.use_stdout:
        option = "--measure-top" if measure_top else "--train-top"
        raise OptionError(f"{option} prints tables: give --csv or --json a file instead of -")
    of_recipe, settings = trial_options.split_recipe(settings)
    given |= {"settings": of_recipe, "img_size": trial_options.find_given_size(context)}
    check_training(context, given)
    if parquet:
        need("pyarrow")
    base = parse(model)
    check_img_size(img_size)
    choices, limits = own.read_space_file(space)
    choices = own.read_choice_texts({"width": width, "depth": depth, "rates": rates}, settings, choices)
    if solve or target_gmacs:
        refuse_choices("--solve", choices)
        return solve_key(base, solve, target_gmacs, img_size, outputs)
    if sensitivity:
        refuse_choices("--sensitivity", choices)
        return show_sensitivity(base, img_size, outputs)
    from saevit.comparing.compare import resolve_models
    from saevit.explore.question import Search, choose_method
    from saevit.measure.timing import TimingOptions

    timing = TimingOptions(
        batch_sizes=(batch_size,),
        device=device,
        runtimes=(runtime,),
        threads=threads,
        rounds=rounds,
        min_time=min_time,
    )
    variants = choose_space(base, choices)
    choose_conditions = partial(latency.choose_conditions, variants, img_size, dtype, timing)
    if calibrate:
        return latency.run_calibration(
            variants, choose_conditions(), latency.choose_timing(context, timing), store, outputs
        )
    compared = resolve_models([reference])[0] if measure_top and reference else str(base)
    question, calibration = make_question(context, variants, limits, choose_conditions)
    plan = trial_options.read_plan("--data", str(data), given, device=device) if train_top else None
    chosen = choose_method(question.space.size, method)
    search = Search(question=question, method=chosen, samples=samples, seed=seed)
    found = run_search(search, jobs, engine, resume, calibration)
    is_written = write_exploration(found, outputs)
    code = measure_best(found, measure_top, timing, compared, store, outputs, dtype) if measure_top else 0
    if plan:
        code = code or train_best(found, plan, given, outputs)
    return code or output.exit_code(failed=not is_written)


def check_training(context: typer.Context, given: Mapping[str, Any]) -> None:
    """Refuse options of trainings without --train-top, and --train-top without images."""
    if not given["train_top"]:
        trial_options.refuse_without_training(context, "--train-top")
        for item in given["settings"]:
            raise OptionError(f"--set {item} is for trainings: add --train-top, or leave it out")
    elif not given["data"]:
        raise OptionError("--train-top needs images: add --data, such as --data icons:FILE or a folder")


def write_exploration(found: "Exploration", outputs: output.Outputs) -> bool:
    """Show and write the front and the best variants, and return whether all files were written."""
    from saevit.explore.last_rows import keep_rows
    from saevit.report.explore_figures import front_figure
    from saevit.report.views import explore as views

    view = views.view_exploration(found)
    outputs.show(view)
    try:
        keep_rows([row.model for row in (*views.list_shown(found), *views.list_others(found))])
    except OptionError as error:
        display.warn(f"rows such as @1 still name the variants of an earlier exploration: {error}")
    return outputs.write(
        {
            "--csv": lambda: views.explore_csv(found),
            "--json": lambda: views.explore_json(found),
            "--parquet": lambda: partial(views.write_parquet, found),
            "--plot": lambda: front_figure(found),
        }
    )
