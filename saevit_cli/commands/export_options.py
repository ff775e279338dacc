"""Options of `saevit export` alone."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from saevit.errors import OptionError, nearest
from saevit_cli import options, output, readers

FILES = "Files"

# Format to the ending of the file that is named; OpenVINO's weights stand beside it.
ENDINGS = {"onnx": ".onnx", "pt2": ".pt2", "openvino": ".xml"}
COMPANIONS = {"openvino": ".bin"}
DYNAMIC = "dynamic"
LONGEST_NAME = 100  # characters of a file name

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[VARIANT|timm:NAME]",
        help="A preset, PRESET:key=value,... or a timm model; by default what the checkpoint is of.",
        autocompletion=options.complete_variant,
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Weights; without them they are random, and the file says so."),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="onnx|pt2|openvino",
        help="Repeatable, or joined by commas; by default as --output ends, else onnx.",
        rich_help_panel=FILES,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE|DIR",
        help="The file: .onnx, .pt2 or .xml; in a folder, or by default here, it is named for the model.",
        rich_help_panel=FILES,
    ),
]
ImgSize = Annotated[
    str | None,
    typer.Option(
        metavar="N|H,W",
        help="Size in pixels, 32 or more, that the files take; by default the checkpoint's, else 224.",
        rich_help_panel=FILES,
    ),
]
Batch = Annotated[
    str,
    typer.Option(metavar="dynamic|N", help="Any batch, or exactly this one.", rich_help_panel=FILES),
]
Opset = Annotated[
    str,
    typer.Option(metavar="N", help="ONNX's operators, 18 to 23.", rich_help_panel=FILES),
]


def read_formats(texts: Sequence[str] | None, target: Path | None) -> tuple[str, ...]:
    """Return the formats, each once; none given are what the file's ending says."""
    names = readers.read_names(",".join(texts)) if texts else ()
    for name in names:
        if name not in ENDINGS:
            raise OptionError(f"--format {name} is not known: {nearest(name, ENDINGS)}")
    by_ending = {ending: name for name, ending in ENDINGS.items()}
    return names or (by_ending.get(target.suffix if target else "", "onnx"),)


def read_batch(text: str) -> int | None:
    """Read a batch; None is any."""
    return None if text == DYNAMIC else readers.read_count("--batch", text)


def paths_of(formats: Sequence[str], target: Path | None, model: str) -> dict[str, Path]:
    """Return the file of each format."""
    folder = target if target is not None else Path()
    if folder.is_dir():
        stem = re.sub(r"[^A-Za-z0-9._]+", "-", model)[:LONGEST_NAME].strip("-")
        return {name: folder / f"{stem}{ENDINGS[name]}" for name in formats}
    if len(formats) > 1:
        raise OptionError(f"--output {target}: {len(formats)} formats go into a folder that exists")
    return {formats[0]: folder}


def check_outputs(
    paths: dict[str, Path], json: str | None, checkpoint: Path | None, *, overwrite: bool
) -> None:
    """Refuse, before any work, what cannot be written, OpenVINO's second file too."""
    beside = [(end, paths[name].with_suffix(end)) for name, end in COMPANIONS.items() if name in paths]
    output.check_targets(
        [
            ("--json", json),
            *(("--output", path) for path in paths.values()),
            *((f"--output's {end}", path) for end, path in beside),
        ],
        overwrite=overwrite,
        inputs=[("--checkpoint", checkpoint)],
        endings={"--output": tuple(ENDINGS[name] for name in paths)},
    )
