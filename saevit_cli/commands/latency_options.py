"""Options of `saevit explore` about latency, its calibration, and what it is predicted from."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saevit.errors import OptionError, SaevitError
from saevit_cli import display, output
from saevit_cli.commands.explore_options import limit_option, of_finish
from saevit_cli.options import is_given, of_time

if TYPE_CHECKING:
    from saevit.explore.calibration import Calibration
    from saevit.explore.space import Space
    from saevit.measure.timing import TimingOptions
    from saevit.runs.record import Conditions

Calibrate = Annotated[
    bool,
    of_finish(
        "--calibrate",
        help="Time the parts that the variants of the space are built of, and some whole variants. Later "
        "searches predict latency from that: --objectives latency,params or --max-latency 12ms.",
    ),
]
MaxLatency = limit_option("the predicted latency, in ms or with a unit (12ms)")
Runtime = Annotated[
    str,
    of_time(
        "--runtime",
        "--latency-of",
        metavar="NAME",
        help="Runtime of latency: eager, compile, onnxruntime, openvino or executorch.",
    ),
]
TIMING = ("device", "dtype", "runtime", "batch_size", "threads")  # options that a calibration is of


def run_calibration(
    space: "Space",
    conditions: "Conditions",
    timing: "TimingOptions",
    store: Path | None,
    outputs: output.Outputs,
) -> int:
    """Calibrate, store and show the result."""
    from saevit.explore.calibration import calibrate
    from saevit.report.views.calibration import calibration_csv, calibration_json, view_calibration

    if unused := [option for option in ("--plot", "--parquet") if option in outputs.targets]:
        raise OptionError(f"{unused[0]} is for fronts: take --csv, --json or --report with --calibrate")
    with outputs.measuring(store) as (writer, on_progress):
        found = calibrate(
            space,
            conditions,
            rounds=timing.rounds,
            min_time=timing.min_time,
            seed=timing.seed,
            on_progress=on_progress,
            writer=writer,
        )
    outputs.show(view_calibration(found))
    is_written = outputs.write(
        {"--csv": lambda: calibration_csv(found), "--json": lambda: calibration_json(found)}, found.run
    )
    return output.exit_code(found.run, failed=not is_written)


def choose_timing(context: typer.Context, timing: "TimingOptions") -> "TimingOptions":
    """Return the timing of a calibration, with its own rounds and samples where the user gave none."""
    from saevit.explore.calibration import MIN_TIME, ROUNDS

    return replace(
        timing,
        rounds=timing.rounds if is_given(context, "rounds") else ROUNDS,
        min_time=timing.min_time if is_given(context, "min_time") else MIN_TIME,
    )


def choose_conditions(
    space: "Space", img_size: tuple[int, int], dtype: Any, timing: "TimingOptions"
) -> "Conditions":
    """Return the conditions of latency. Raises OptionError for those that are not available here."""
    from saevit.count.model_costs import count_variant
    from saevit.measure.timing import list_conditions

    (conditions,) = list_conditions(count_variant(space.base, img_size), img_size, dtype, timing)
    return conditions


def load_calibration(
    context: typer.Context, space: "Space", conditions: "Conditions", store: Path | None
) -> "Calibration":
    """Return the stored calibration that applies. Raises OptionError, with the command that makes it."""
    from saevit.explore.stored_calibrations import find_calibration
    from saevit.measure.environment import environment

    try:
        return find_calibration(store, conditions, environment(), space, on_skip=display.warn)
    except OptionError as error:
        raise OptionError(f"{error}; make it with: {write_command(context)}") from error


def load_if_any(
    context: typer.Context,
    space: "Space",
    choose_conditions: "Callable[[], Conditions]",
    store: Path | None,
) -> "Calibration | None":
    """Return the stored calibration that applies, or None; say why if one is stored but does not apply."""
    from saevit.explore.stored_calibrations import has_calibration

    try:
        if has_calibration(store):
            return load_calibration(context, space, choose_conditions(), store)
    except SaevitError as error:
        display.say(f"latency is not an objective: {error}")
    return None


def write_command(context: typer.Context) -> str:
    """Return the command that makes the calibration that this command lacks."""
    words = ["saevit explore", str(context.params["model"])]
    words += list(write_choices(context))
    words.append("--calibrate")
    for name in (*TIMING, "img_size", "store"):
        if is_given(context, name):
            value = context.params[name]
            text = "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"--{name.replace('_', '-')} {text}")
    return " ".join(words)


def write_choices(context: typer.Context) -> Iterable[str]:
    """Yield the options of the space as the user gave them."""
    for name in ("width", "depth", "rates", "space"):
        if (value := context.params.get(name)) is not None:
            yield f"--{name} '{value}'" if ";" in str(value) else f"--{name} {value}"
    for item in context.params.get("settings") or []:
        yield f"--set '{item}'" if ";" in item else f"--set {item}"
