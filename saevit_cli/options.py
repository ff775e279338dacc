"""The options that several commands share.

A command declares an option in its signature, as in `img_size: options.ImgSize = "224"`. Typer calls the
parser of the option (see `readers`), so the command gets a value, here (224, 224). Options of one command are
declared in the same way in the module of the command.

The type `Any` here is a tuple, because Typer would interpret a tuple type as an option with several values.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from saevit.count.breakdown_lines import By as ByName
from saevit.errors import OptionError
from saevit.files import expand
from saevit.runs.record import Dtype as DtypeName
from saevit.runs.record import MemoryFormat as MemoryFormatName
from saevit.variant import KEYS, PRESETS
from saevit_cli import display, readers

PASSES = 1000  # number of single passes for --percentiles, as p99 needs
MODEL, TIME, OUTPUT = "Model", "Measuring", "Output"  # headings in a command's help


def in_panel(heading: str) -> partial[Any]:
    """Return `typer.Option` for the options under one heading of the help."""
    return partial(typer.Option, rich_help_panel=heading)


of_model, of_time, of_output = in_panel(MODEL), in_panel(TIME), in_panel(OUTPUT)


def complete_variant(incomplete: str) -> list[str]:
    """Complete the name of a preset, and after its colon the keys of a variant."""
    head, colon, tail = incomplete.partition(":")
    if not colon:
        return [name for name in PRESETS if name.startswith(incomplete)]
    before, comma, last = tail.rpartition(",")
    return [f"{head}:{before}{comma}{key}=" for key in KEYS if key.startswith(last)]


def csv_option(rows: str) -> Any:
    """Return the option --csv of a command; `rows` is for its help, such as "one row per run"."""
    return of_output("--csv", metavar="FILE|-", help=f"Write CSV with {rows}; - is stdout.")


def plot_option(what: str) -> Any:
    """Return the option --plot of a command; `what` is the object that is drawn, for its help."""
    return of_output("--plot", metavar="FILE", help=f"Draw {what} to a .png, .svg or .pdf file.")


argument = partial(typer.Argument, autocompletion=complete_variant, show_default=False)
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Preset, PRESET:key=value,... (see `saevit list`), any timm model such as resnet18, "
        "birder:NAME, or module:factory for your own network.",
        autocompletion=complete_variant,
    ),
]
CheckpointModel = Annotated[
    str | None,
    argument(
        metavar="MODEL",
        help="Preset, PRESET:key=value,... or timm model such as resnet18; the default is the model that "
        "--checkpoint names.",
    ),
]
Checkpoint = Annotated[
    Path | None,
    of_model(metavar="FILE", help="Weights: a .safetensors file of `saevit train`, or a file of torch.save."),
]

# Variant
Width = Annotated[str | None, of_model(metavar="X", help="Multiply the channels of every stage.")]
Depth = Annotated[str | None, of_model(metavar="X", help="Multiply the number of blocks of every stage.")]
Rates = Annotated[
    str | None,
    of_model(
        "--rates",
        "--sparsity",
        parser=readers.read_rates,
        metavar="R,R,R,R",
        help="Sampling rate r of each stage, or one for all: attention has one token per r x r window. "
        "--sparsity is the same option.",
    ),
]
Classes = Annotated[
    int | None,
    of_model(
        "--classes",
        parser=readers.count_reader(least=0, most=readers.MOST_CLASSES),
        metavar="N",
        help="Number of classes; 0 removes the classifier. The default is that of the model, mostly 1000.",
    ),
]
Set = Annotated[
    list[str] | None,
    of_model("--set", metavar="KEY=VALUE", help="Set a key of the variant (see `saevit list`); repeatable."),
]
ImgSize = Annotated[
    Any, of_model(parser=readers.read_size, metavar="N|HxW", help="Input size in pixels, at least 32.")
]
CheckpointImgSize = Annotated[
    Any,
    of_model(
        "--img-size",
        parser=readers.read_size,
        metavar="N|HxW",
        help="Input size in pixels, at least 32; the default is the size that --checkpoint was trained at, "
        "or 224.",
    ),
]

# Measuring
BatchSizes = Annotated[
    Any,
    of_time("--batch-size", parser=readers.read_batch_sizes, metavar="N,...", help="Batch sizes to time."),
]
BatchSize = Annotated[int, of_time(parser=readers.count_reader(), metavar="N", help="Batch size.")]
Device = Annotated[str, of_time(metavar="DEVICE", help="Device: auto, cpu, cuda, cuda:N or mps.")]
Dtype = Annotated[DtypeName, of_time(help="Numeric precision; int8: onnxruntime, openvino, executorch.")]
Dtypes = Annotated[
    Any,
    of_time(
        "--dtype",
        parser=readers.read_dtypes,
        metavar="NAME,...",
        help="Numeric precisions: fp32, bf16, fp16, int8 (onnxruntime, openvino, executorch). A runtime is "
        "timed in the precisions that it supports.",
    ),
]
Runtime = Annotated[
    str, of_time(metavar="NAME", help="Runtime: eager, compile, onnxruntime, openvino or executorch.")
]
Runtimes = Annotated[
    Any,
    of_time(
        "--runtime",
        parser=readers.read_names,
        metavar="NAME,...",
        help="Runtimes to time: eager, compile, onnxruntime, openvino, executorch.",
    ),
]
Threads = Annotated[
    int | None,
    of_time(
        parser=readers.read_threads,
        metavar="N",
        help="Number of CPU threads; the default is one per usable core.",
    ),
]
MemoryFormat = Annotated[
    MemoryFormatName,
    of_time(metavar="LAYOUT", help="Memory layout of the images: contiguous or channels_last."),
]
Rounds = Annotated[
    int, of_time(parser=readers.count_reader(), metavar="N", help="Number of interleaved timing rounds.")
]
MinTime = Annotated[
    float,
    of_time(
        parser=readers.number_reader(most=3600),
        metavar="S",
        help="Minimum duration of a timing sample in seconds.",
    ),
]
Percentiles = Annotated[
    bool,
    of_time(
        "--percentiles",
        help=f"Also time at least {PASSES:,} single passes of each configuration, and show their p50, p90 "
        "and p99.",
    ),
]
Measure = Annotated[
    bool,
    of_time(
        "--measure/--no-measure", show_default=False, help="Time the model (the default), or count only."
    ),
]
Fold = Annotated[
    bool,
    of_time(
        "--fold/--no-fold",
        show_default=False,
        help="Time the folded form of a variant (the default), or the form as defined. MACs are always of "
        "the form as defined.",
    ),
]
Force = Annotated[bool, of_time("--force", help="Time a model even if it is predicted not to fit in memory.")]

# Output
Show = Annotated[
    display.Format,
    of_output("--format", metavar="FORMAT", help="Format on stdout: table, markdown, csv or json."),
]
Wide = Annotated[bool, of_output("--wide", help="Show all columns of the tables.")]
Explain = Annotated[bool, of_output("--explain", help="Show the notes that explain the tables.")]
Quiet = Annotated[
    bool, of_output("--quiet", "-q", help="Show results, warnings and errors; no notes, no progress.")
]
Verbose = Annotated[
    bool, of_output("--verbose", "-v", help="Show all columns and notes, and the warnings of libraries.")
]
STYLE: dict[str, Any] = {"format": Show, "wide": Wide, "explain": Explain, "quiet": Quiet, "verbose": Verbose}


def is_given(context: typer.Context, name: str | None) -> bool:
    """Tell whether the user gave a parameter on the command line."""
    source = context.get_parameter_source(str(name))
    return source is not None and source.name == "COMMANDLINE"


def check_unmeasured(
    context: typer.Context,
    sorted_by: Mapping[str, str | None] = MappingProxyType({}),
    used: Collection[str] = ("measure", "dtype"),
) -> None:
    """Check the options of a command with --no-measure. Warn of timing options, except those in `used`.

    Raises:
        OptionError: an option in `sorted_by` sorts by times.
    """
    from saevit.report.metrics import METRICS

    for option, name in sorted_by.items():
        if name and METRICS[name].is_timed:
            others = ", ".join(other for other, metric in METRICS.items() if not metric.is_timed)
            raise OptionError(f"{option} {name} needs times: drop --no-measure, or choose {others}")
    for param in context.command.params:
        panel = getattr(param, "rich_help_panel", None)
        if panel == TIME and param.name not in used and is_given(context, param.name):
            display.warn(f"{param.opts[0]} has no effect with --no-measure")


def with_style(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with the options of `display.OutputStyle` that it does not declare itself."""
    own = inspect.signature(command).parameters
    added = {name: kind for name, kind in STYLE.items() if name not in own}

    @wraps(command)
    def styled(**given: Any) -> Any:
        with display.use_style(replace(display.DEFAULT, **{name: given.pop(name) for name in added})):
            return command(**given)

    declare_options(styled, {name: (kind, getattr(display.DEFAULT, name)) for name, kind in added.items()})
    return styled


def declare_options(
    wrapper: Callable[..., Any], added: Mapping[str, tuple[Any, Any]], replaced: str = ""
) -> None:
    """Set the signature of a command's wrapper, from which Typer makes options.

    Args:
        wrapper: the wrapper, made by `functools.wraps`.
        added: additional parameters, name to type and default.
        replaced: the parameter of the command that the wrapper sets.
    """
    own = inspect.signature(wrapper).parameters
    parameters = [each for name, each in own.items() if name != replaced]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in added.items()
    ]
    vars(wrapper)["__signature__"] = inspect.Signature(parameters)
    wrapper.__annotations__ = {each.name: each.annotation for each in parameters}


By = Annotated[
    ByName,
    of_output(
        "--by",
        help="Rows of the breakdown. op: kinds of operators and stages, from the profiler of onnxruntime or "
        "openvino.",
    ),
]
Json = Annotated[
    str | None, of_output(metavar="FILE|-", help="Write the complete results as JSON; - is stdout.")
]
Csv = Annotated[str | None, csv_option("one row per configuration, in timm's columns")]
Store = Annotated[
    Path | None,
    of_output(
        "--store",
        parser=expand,  # the value of the environment variable may have a ~
        metavar="DIR",
        envvar="SAEVIT_STORE",
        help="Folder of stored runs, which `saevit results` reads; the default is in the user's data folder.",
    ),
]
Report = Annotated[
    Path | None,
    of_output(
        "--report",
        metavar="FILE.html",
        help="Write an HTML page with the result, pictures, sortable tables and data; it needs no network.",
    ),
]
Overwrite = Annotated[bool, of_output("--overwrite", help="Replace output files that exist.")]
