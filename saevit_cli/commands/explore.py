"""`saevit explore`."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from saevit.errors import OptionError, need
from saevit_cli import display, options, output
from saevit_cli.commands import explore_options as own
from saevit_cli.commands import latency_options as latency
from saevit_cli.commands import trial_options
from saevit_cli.commands.explore_best import measure_best, train_best
from saevit_cli.commands.explore_one import refuse_choices, show_sensitivity, solve_key

if TYPE_CHECKING:
    from saevit.explore.calibration import Calibration
    from saevit.explore.exploration import Exploration
    from saevit.explore.question import Search
    from saevit.explore.search import Answer
    from saevit.explore.space import Space
    from saevit.variant import VariantSpec


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
    epochs: trial_options.Epochs = None,
    images: trial_options.Images = None,
    seeds: trial_options.Seeds = trial_options.SEEDS,
    halve: trial_options.Halve = False,
    tune_lr: trial_options.TuneLr = False,
    recipe: trial_options.Recipe = None,
    data_dir: trial_options.DataDir = None,
    amp: trial_options.Amp = None,
    workers: trial_options.Workers = None,
    runs: trial_options.Runs = None,
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
) -> int:
    """Search a space of variants by costs: fronts, the best within limits, the largest for a budget."""
    from saevit.models import check_img_size
    from saevit.report.figure import FORMATS
    from saevit.variant import parse

    given = locals()
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
    from saevit.explore.question import Question, Search, choose_method
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
    limits |= own.list_limits(given)
    calibration = None
    if "latency" in (*(objectives or ()), rank_by) or "--max-latency" in limits:
        calibration = latency.load_calibration(context, variants, choose_conditions(), store)
    elif not objectives and not rank_by:
        calibration = latency.load_if_any(context, variants, choose_conditions, store)
    objectives = objectives or own.choose_objectives(limits, is_predicted=calibration is not None)
    question = Question(
        space=variants,
        limits=own.read_limits(limits),
        img_size=img_size,
        objectives=objectives,
        latency=calibration.model if calibration else None,
        rising=monotone,
        rank=rank_by or objectives[-1],
        top=max(top, measure_top or 1, train_top or 1),
    )
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


def choose_space(base: "VariantSpec", choices: dict[str, str]) -> "Space":
    """Return the space of the choices; without any, the default one around the variant."""
    from saevit.explore.space import default_choices, make_space, read_space

    return read_space(base, choices) if choices else make_space(base, default_choices(base))


def run_search(
    search: "Search",
    jobs: int | None,
    engine: str,
    journal: Path | None,
    calibration: "Calibration | None" = None,
) -> "Exploration":
    """Search with a progress bar, and write the size of the space, warnings and the time on stderr."""
    from saevit.explore.exploration import count_answer
    from saevit.explore.journal import SearchError
    from saevit.explore.search import answer
    from saevit.machine import usable_cores

    question, start, warnings = search.question, time.monotonic(), list[str]()
    factors = [f"{count:,}" for count in question.space.shape if count > 1]
    product = f" ({' x '.join(factors)})" if len(factors) > 1 else ""
    method = {
        "exhaustive": "every variant is evaluated",
        "dp": "the exact front by dynamic programming",
        "sample": f"a sample of {search.samples:,}",
    }[search.method]
    display.say(f"{question.space.size:,} combinations{product}: {method}")
    try:
        with display.show_progress() as tell:
            found = answer(
                search,
                workers=jobs or usable_cores(),
                engine=engine,
                journal=journal,
                on_chunk=chunk_teller(tell, start),
                warn=warnings.append,
            )
    except SearchError as error:
        display.complain(f"{error}")
        raise typer.Exit(output.FAILED) from error
    for text in warnings:
        display.warn(text)
    display.say(describe_speed(found, time.monotonic() - start))
    return count_answer(found, calibration)


def chunk_teller(
    tell: Callable[[str, float | None, float | None], None], start: float
) -> Callable[[int, int], None]:
    """Return a function that moves the bar, with the time left at the pace since the start."""
    resumed: list[int] = []

    def on_chunk(done: int, total: int) -> None:
        resumed.append(done)
        new = done - resumed[0]
        left = (time.monotonic() - start) * (total - done) / new if new else None
        tell(f"chunk {done:,} of {total:,}", done / max(1, total), left)

    return on_chunk


def describe_speed(found: "Answer", seconds: float) -> str:
    """Return how long the search took."""
    seen = found.findings.seen
    if not found.is_counted:
        return f"found the front of {seen:,} in {seconds:.1f} s"
    rate = f", {seen / seconds / 1e6:.3g} million per second" if seconds > 0.1 else ""
    return f"evaluated {seen:,} in {seconds:.1f} s{rate}"


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
