"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from saevit.files import expand
from saevit.variant import KEYS, PRESETS

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
    str | None,
    typer.Option(
        "--y",
        metavar="NAME",
        help="top1, or a cost: `--x gmacs --y latency` shows how far fewer MACs are faster; by default top1, "
        "or a cost where no model has one.",
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
Fold = Annotated[
    bool,
    typer.Option(
        "--fold/--no-fold",
        help="Time variants in the folded form, or as defined. MACs are of the network as defined.",
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
        parser=expand,  # what the variable holds, no shell has expanded
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
