"""Options that several commands share, and the readers of their text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from saevit.baselines.adapters import split
from saevit.errors import OptionError, nearest
from saevit.parse import KEYS, pairs, parse, with_values
from saevit.presets import PRESETS
from saevit.spec import VariantSpec

if TYPE_CHECKING:
    from saevit.results.profile import By
    from saevit.results.record import Dtype, MemoryFormat

MODEL, TIME, OUTPUT = "Variant", "Measuring", "Output"


def complete_variant(incomplete: str) -> list[str]:
    """Complete a preset's name, and after its colon the keys."""
    head, colon, tail = incomplete.partition(":")
    if not colon:
        return [name for name in PRESETS if name.startswith(incomplete)]
    before, comma, last = tail.rpartition(",")
    return [f"{head}:{before}{comma}{key}=" for key in KEYS if key.startswith(last)]


Model = Annotated[
    str,
    typer.Argument(
        metavar="[VARIANT|timm:NAME|birder:NAME]",
        help="A preset, PRESET:key=value,... (see `saevit list`), or any timm or birder model.",
        autocompletion=complete_variant,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Variants, published models, groups, timm:NAME, timm:GLOB, birder:NAME; by default presets "
        "and leaders.",
        autocompletion=complete_variant,
    ),
]
Reference = Annotated[
    str | None, typer.Option(metavar="MODEL", help="What ratios are to; by default the first.")
]
Sort = Annotated[
    str | None,
    typer.Option(
        metavar="latency|throughput|gmacs|params|memory|top1",
        help="Order of the rows, the best first; by default as given.",
        rich_help_panel=OUTPUT,
    ),
]
OneBatch = Annotated[str, typer.Option("--batch-size", metavar="N", help="Batch size.", rich_help_panel=TIME)]
OneRuntime = Annotated[
    str,
    typer.Option(
        "--runtime", metavar="NAME", help="eager, compile, onnxruntime or openvino.", rich_help_panel=TIME
    ),
]
Group = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="NAME",
        help="Add a group: core, conv, hybrid, mobile, class-0.8 or class-1.3; repeatable.",
    ),
]
AxisX = Annotated[
    str | None,
    typer.Option(
        "--x",
        metavar="NAME,...",
        help="Axes of the plot and of the Pareto fronts, a panel each: gmacs, params, latency, throughput, "
        "memory; by default gmacs,latency.",
        rich_help_panel=OUTPUT,
    ),
]
AxisY = Annotated[
    str,
    typer.Option(
        "--y",
        metavar="NAME",
        help="top1, or a cost: `--x gmacs --y latency` shows how far fewer MACs are faster.",
        rich_help_panel=OUTPUT,
    ),
]
Top1 = Annotated[
    str | None,
    typer.Option(
        "--top1",
        metavar="published|SOURCE[@SPLIT]",
        help="Accuracies that `saevit eval` measured here on these data, such as digits, in place of "
        "published ones; by default published, or what a stored run was shown with.",
        rich_help_panel=OUTPUT,
    ),
]
Scatter = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE", help="Draw the models: .png, .svg or .pdf.", rich_help_panel=OUTPUT
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html",
        help="Write a page that needs no network: sortable table, axes to choose, raw samples.",
        rich_help_panel=OUTPUT,
    ),
]
Width = Annotated[
    str | None, typer.Option(metavar="X", help="Multiplies the channels.", rich_help_panel=MODEL)
]
Depth = Annotated[str | None, typer.Option(metavar="X", help="Multiplies the blocks.", rich_help_panel=MODEL)]
Sparsity = Annotated[
    str | None,
    typer.Option(
        metavar="R,R,R,R",
        help="Sampling rate of each stage, or one for all: one token for each r x r window.",
        rich_help_panel=MODEL,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any key of the grammar; repeatable.", rich_help_panel=MODEL
    ),
]
ImgSize = Annotated[
    str, typer.Option(metavar="N|H,W", help="Input size in pixels, 32 or more.", rich_help_panel=MODEL)
]
BatchSize = Annotated[str, typer.Option(metavar="N,...", help="Batch sizes to time.", rich_help_panel=TIME)]
Device = Annotated[
    str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=TIME)
]
DtypeName = Annotated[
    str, typer.Option("--dtype", metavar="fp32|bf16|fp16", help="Precision.", rich_help_panel=TIME)
]
Runtimes = Annotated[
    str,
    typer.Option(
        "--runtime", metavar="NAME,...", help="eager, compile, onnxruntime, openvino.", rich_help_panel=TIME
    ),
]
Threads = Annotated[
    str | None,
    typer.Option(metavar="N", help="CPU threads; by default every usable core.", rich_help_panel=TIME),
]
Layout = Annotated[
    str,
    typer.Option(
        "--memory-format",
        metavar="contiguous|channels_last",
        help="Layout of the images.",
        rich_help_panel=TIME,
    ),
]
Rounds = Annotated[str, typer.Option(metavar="N", help="Interleaved rounds.", rich_help_panel=TIME)]
MinTime = Annotated[
    str, typer.Option(metavar="S", help="Seconds that one sample lasts at least.", rich_help_panel=TIME)
]
Measure = Annotated[
    bool, typer.Option("--measure/--no-measure", help="Time it, or count only.", rich_help_panel=TIME)
]
Fuse = Annotated[
    bool,
    typer.Option(
        "--fuse/--no-fuse",
        help="Time variants with every exact fold, or as they are defined. Counts are of the definition.",
        rich_help_panel=TIME,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Run what by its count cannot fit in memory.", rich_help_panel=TIME)
]
Counters = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="analytic, torch, fvcore, thop; by default all. `analytic` alone needs no torch.",
        rich_help_panel=OUTPUT,
    ),
]
ByName = Annotated[
    str,
    typer.Option(
        "--by", metavar="stage|block|module", help="Lines of the breakdown.", rich_help_panel=OUTPUT
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw the breakdown: .png, .svg or .pdf.", rich_help_panel=OUTPUT),
]
Json = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-", help="Everything, raw samples included; - is stdout.", rich_help_panel=OUTPUT
    ),
]
Csv = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-", help="A row a configuration, timm's columns; - is stdout.", rich_help_panel=OUTPUT
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar="SAEVIT_STORE",
        help="Where measured runs are kept; by default the user's data folder. `saevit results` reads it.",
        rich_help_panel=OUTPUT,
    ),
]
FromStore = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Show a stored run and measure nothing: `latest`, a run of `saevit results list`, or a file.",
        rich_help_panel=TIME,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace output files that exist.", rich_help_panel=OUTPUT)
]


def read_model(
    model: str, width: str | None, depth: str | None, sparsity: str | None, settings: list[str]
) -> VariantSpec | str:
    """Return the variant with the options' keys set, or the text of another kind of model as it is."""
    given = {"width": width, "depth": depth, "rates": sparsity.replace(",", "-") if sparsity else None}
    values = {key: value for key, value in given.items() if value is not None}
    for key, value in pairs(settings).items():
        if key in values:
            raise OptionError(
                f"{key!r} is given as an option ({values[key]}) and by --set ({value}): keep one"
            )
        values[key] = value
    if split(model):
        if values:
            raise OptionError(
                f"{', '.join(values)} cannot be set on {model}: they are keys of SAEViT variants"
            )
        return model
    return with_values(parse(model), values)


def read_network(
    model: str | None,
    width: str | None,
    depth: str | None,
    sparsity: str | None,
    settings: list[str] | None,
    *,
    checkpoint: Path | None,
    default: str,
) -> VariantSpec | str | None:
    """Return the model of a command that takes weights: None is the one that the checkpoint names."""
    if model is not None or checkpoint is None:
        return read_model(model or default, width, depth, sparsity, settings or [])
    if width or depth or sparsity or settings:
        raise OptionError(
            f"--checkpoint {checkpoint} is of one network: name its variant too, or leave "
            "--width, --depth, --sparsity and --set out"
        )
    return None


def read_size(text: str) -> tuple[int, int]:
    """Read `N` or `H,W`."""
    sides = read_numbers("--img-size", text)
    if len(sides) > 2:
        raise OptionError(f"--img-size {text}: {len(sides)} numbers, give N or H,W")
    return sides[0], sides[-1]


def read_batches(text: str) -> tuple[int, ...]:
    """Read batch sizes, each once and 1 or more."""
    sizes = read_numbers("--batch-size", text)
    for batch_size in sizes:
        if batch_size < 1:
            raise OptionError(f"--batch-size {batch_size}: at least 1")
    if len(set(sizes)) < len(sizes):
        raise OptionError(f"--batch-size {text}: a size stands twice, once is enough")
    return sizes


def read_threads(text: str | None) -> int | None:
    """Read a number of threads; None is left to the library."""
    return None if text is None else read_count("--threads", text)


def read_rounds(text: str) -> int:
    """Read a number of rounds."""
    return read_count("--rounds", text)


def read_count(option: str, text: str) -> int:
    """Read one whole number of 1 or more."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise OptionError(f"{option} {text}: a whole number of 1 or more")
    return int(text)


def read_min_time(text: str) -> float:
    """Read a sample's least time in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise OptionError(f"--min-time {text}: seconds above 0, such as 0.1")
    return seconds


def read_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read whole numbers joined by commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise OptionError(f"{option} {text}: whole numbers joined by commas, for example 224,224") from None


def read_names(text: str) -> tuple[str, ...]:
    """Read names joined by commas, each kept once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def read_by(text: str) -> "By":
    """Read the lines of a breakdown."""
    from saevit.results.profile import By

    return cast("By", one_of("--by", text, get_args(By)))


def read_dtype(text: str) -> "Dtype":
    """Read a precision."""
    from saevit.results.record import Dtype

    return cast("Dtype", one_of("--dtype", text, get_args(Dtype)))


def read_layout(text: str) -> "MemoryFormat":
    """Read a layout."""
    from saevit.results.record import MemoryFormat

    return cast("MemoryFormat", one_of("--memory-format", text, get_args(MemoryFormat)))


def one_of(option: str, text: str, choices: tuple[str, ...]) -> str:
    """Return the text if it is one of the choices."""
    if text not in choices:
        raise OptionError(f"{option} {text} is not known: {nearest(text, choices)}")
    return text
