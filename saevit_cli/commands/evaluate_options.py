"""Options of `saevit eval`."""

from pathlib import Path
from typing import Annotated

import typer

from saevit_cli import options

DATA, OUTPUT = "Data", options.OUTPUT

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[VARIANT|timm:NAME]",
        help="The network of the weights; by default the one that --checkpoint names.",
        autocompletion=options.complete_variant,
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Weights: .safetensors as `saevit train` writes them, or a file of torch.save.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="SOURCE",
        help="digits (scikit-learn's), a folder with train/ and val/ or of class folders, torch/NAME or "
        "hfds/NAME; by default what --checkpoint was trained on.",
        rich_help_panel=DATA,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where torch/NAME or hfds/NAME lies; nothing is downloaded.",
        rich_help_panel=DATA,
    ),
]
SplitName = Annotated[
    str,
    typer.Option(
        "--split", metavar="validation|train|all", help="Which of the images.", rich_help_panel=DATA
    ),
]
Workers = Annotated[
    str,
    typer.Option(
        "--workers",
        metavar="N",
        help="Processes that read images; 0: the one that runs the network.",
        rich_help_panel=DATA,
    ),
]
ImgSize = Annotated[
    str | None,
    typer.Option(
        metavar="N|H,W",
        help="Input size in pixels, 32 or more; by default what --checkpoint was trained at, or 224.",
        rich_help_panel=options.MODEL,
    ),
]
BatchSize = Annotated[
    str, typer.Option("--batch-size", metavar="N", help="Images at a time.", rich_help_panel=options.TIME)
]
NoStore = Annotated[
    bool, typer.Option("--no-store", help="Keep no record for compare and results.", rich_help_panel=OUTPUT)
]
Json = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-", help="Everything, each class and batch; - is stdout.", rich_help_panel=OUTPUT
    ),
]
Csv = Annotated[
    str | None, typer.Option(metavar="FILE|-", help="One row; - is stdout.", rich_help_panel=OUTPUT)
]
