"""Options of `saevit visualize-attention`, and the readers of their text."""

import re
from pathlib import Path
from typing import Annotated

import typer

from saevit.errors import OptionError
from saevit_cli import options, readers

LOOK, OUTPUT = "Looking", options.OUTPUT
MOST_OF_NAME = 80  # characters of a variant in a file's name

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[VARIANT|timm:NAME]",
        help="A preset, PRESET:key=value,... (see `saevit list`), or a timm model with attention; by default "
        "the one that --checkpoint names, or saevit_tiny.",
        autocompletion=options.complete_variant,
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
Images = Annotated[
    list[Path] | None,
    typer.Option(
        "--image",
        metavar="FILE|DIR",
        help="An image, or a folder of them; repeatable. Maps are of the first, numbers of all. By default a "
        "photograph that matplotlib ships.",
        rich_help_panel=LOOK,
    ),
]
Checkpoints = Annotated[
    list[Path] | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Weights: .safetensors, or a file of torch.save. Twice: the second is of --compare's "
        "network, or of the same one.",
        rich_help_panel=options.MODEL,
    ),
]
Compare = Annotated[
    str | None,
    typer.Option(
        metavar="VARIANT|timm:NAME",
        help="A second network on the same image, side by side, one scale of colours.",
        rich_help_panel=options.MODEL,
    ),
]
ViewName = Annotated[
    str | None,
    typer.Option(
        "--view",
        metavar="overview|query|pattern|rollout",
        help="Samples and attention of each stage; what a pixel attends to; which scores exist; what the "
        "maps are made of. By default overview, or query where --query is given.",
        rich_help_panel=LOOK,
    ),
]
Queries = Annotated[
    list[str] | None,
    typer.Option(
        "--query",
        metavar="X,Y",
        help="A pixel of the image as given; repeatable.",
        rich_help_panel=LOOK,
    ),
]
Stages = Annotated[
    str | None, typer.Option("--stage", metavar="N,...", help="Stages, from 1.", rich_help_panel=LOOK)
]
Blocks = Annotated[
    str | None,
    typer.Option(
        "--block",
        metavar="N,...",
        help="Blocks of a stage, from 1; figures show the last of each stage unless you say.",
        rich_help_panel=LOOK,
    ),
]
Heads = Annotated[
    str | None,
    typer.Option("--head", metavar="N,...", help="Heads, from 1; by default all.", rich_help_panel=LOOK),
]
Similarity = Annotated[
    str,
    typer.Option(
        metavar="S",
        help="Cosine similarity that the pixels of a window should keep, for the suggested rates.",
        rich_help_panel=LOOK,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE|DIR",
        help="The figure: .png, .svg or .pdf; in a folder, or by default here, MODEL-VIEW.png.",
        rich_help_panel=OUTPUT,
    ),
]
Json = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-", help="Every number, one value an image; - is stdout.", rich_help_panel=OUTPUT
    ),
]
Csv = Annotated[
    str | None,
    typer.Option(metavar="FILE|-", help="A row a head; - is stdout.", rich_help_panel=OUTPUT),
]
Npz = Annotated[
    Path | None,
    typer.Option(metavar="FILE.npz", help="The first image's maps as arrays.", rich_help_panel=OUTPUT),
]


def read_positions(option: str, text: str | None) -> tuple[int, ...] | None:
    """Read numbers that count from 1."""
    if text is None:
        return None
    numbers = readers.read_numbers(option, text)
    if min(numbers) < 1:
        raise OptionError(f"{option} {text}: they count from 1")
    return numbers


def read_query(text: str) -> tuple[int, int]:
    """Read a pixel."""
    numbers = readers.read_numbers("--query", text)
    if len(numbers) != 2 or min(numbers) < 0:
        raise OptionError(f"--query {text}: a pixel X,Y counted from the upper left corner, such as 120,80")
    return numbers[0], numbers[1]


def read_similarity(text: str) -> float:
    """Read a cosine similarity."""
    return readers.read_positive("--similarity", text, 1)


def target_of(output: Path | None, models: tuple[str, ...], view: str) -> Path:
    """Return where the figure goes: the file, or a name of its own in the folder."""
    if output is not None and not output.is_dir():
        return output
    names = [re.sub(r"[^A-Za-z0-9._]+", "-", model)[:MOST_OF_NAME].strip("-") for model in models]
    return (output or Path()) / f"{'-and-'.join(dict.fromkeys(names))}-{view}.png"
