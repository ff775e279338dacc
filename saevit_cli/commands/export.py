"""`saevit export`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from saevit.errors import OptionError, nearest
from saevit.files import to_file_name
from saevit.measure.progress import NextStep
from saevit_cli import display, options, output, readers
from saevit_cli.commands.export_images import ExportImages

if TYPE_CHECKING:
    from saevit.runs.run import MeasuredTop1

of_files = options.in_panel("Files")
DYNAMIC = "dynamic"
PRECISIONS = ("fp32", "fp16", "int8")


def read_batch(text: str) -> int | None:
    """Parse a batch size; None is any."""
    return None if text == DYNAMIC else readers.count_reader()(text)


Formats = Annotated[
    list[str] | None,
    of_files(
        "--format",
        metavar="onnx|pt2|openvino|executorch|coreml|timm",
        help="Formats, joined by commas; the default is that of the ending of --output, otherwise onnx.",
    ),
]
Target = Annotated[
    Path | None,
    of_files(
        "--output",
        metavar="FILE|DIR",
        help="File to write (.onnx, .pt2, .xml, .pte or .mlpackage), or a folder for files named after the "
        "model, made if missing; the default is the current folder. timm alone fills the folder itself.",
    ),
]
Batch = Annotated[
    Any,
    of_files(
        parser=read_batch,
        metavar="dynamic|N",
        help="Batch sizes that the files accept: any (dynamic) or only N.",
    ),
]
Opset = Annotated[
    int, of_files(parser=readers.count_reader(), metavar="N", help="ONNX operator set version, 18 to 23.")
]

Dtype = Annotated[
    Any,
    of_files(
        metavar="fp32|fp16|int8",
        help="Precision of the files; fp16 (onnx, openvino, coreml) stores weights in float16; int8 (onnx, "
        "openvino, executorch) is quantised statically and calibrated on 128 training images of --data.",
    ),
]
Data = Annotated[
    str | None,
    of_files(
        metavar="SOURCE",
        help="Images as for `saevit eval`: the top-1 of each file is measured beside that of the network.",
    ),
]


def export(
    model: options.CheckpointModel = None,
    checkpoint: options.Checkpoint = None,
    classes: options.Classes = None,
    format: Formats = None,
    target: Target = None,
    img_size: options.CheckpointImgSize = None,
    batch: Batch = DYNAMIC,
    opset: Opset = 20,
    dtype: Dtype = "fp32",
    data: Data = None,
    json: options.Json = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> int:
    """Write a network as ONNX, torch.export, OpenVINO, ExecuTorch, timm (each verified) or Core ML files.

    Variants are written in the folded form, and timm models re-parameterised. Each file is read back in its
    own runtime. A file whose outputs differ from the network's by more than 1e-4 (relative; fp16: 0.01) is
    deleted. Core ML runs on macOS only and is not read back.
    Images must already be normalised: mean and std are in the metadata of each file (.pte has none).

    A folder of timm holds the weights as trained, config.json and a model card with the stored evaluations of
    these weights. timm.create_model("local-dir:FOLDER", pretrained=True) loads it.
    """
    subject = readers.read_network(model, None, None, None, None, classes, checkpoint=checkpoint)
    weights = readers.read_weights(checkpoint)
    from saevit.export.exporter import FOLDERS, FORMATS, TIMM, check_request, export_network, list_files
    from saevit.loading import load_network
    from saevit.report.views.export import view_export, write_export_json

    by_ending = {form.endings[0]: name for name, form in FORMATS.items()}
    default = by_ending.get(target.suffix if target else "", "onnx")
    names = readers.read_names(",".join(format or [default]))
    if dtype not in PRECISIONS:
        raise OptionError(f"--dtype {dtype}: {nearest(dtype, PRECISIONS)}")
    check_request(names, batch=batch, opset=opset, dtype=dtype)
    suffix = "" if dtype == "fp32" else f"-{dtype}"
    paths = choose_paths(names, target, readers.output_name(subject, weights), suffix)
    main, *others = (file for name, path in paths.items() for file in list_files(name, path))
    files = {"--output": main} | {f"--output's {file.name}": file for file in others}
    outputs = output.Outputs(
        {"--json": json, **files},
        overwrite=overwrite,
        inputs=[("--checkpoint", checkpoint)],
        endings={"--output": (main.suffix,) if names[0] in FOLDERS else FORMATS[names[0]].endings[:1]},
        in_new_folders=files,
    )
    with display.show_progress() as on_progress:
        network = load_network(subject, weights, img_size)
        images = ExportImages(network, data, img_size, on_progress)
        result = export_network(
            network,
            paths,
            img_size=img_size,
            batch=batch,
            opset=opset,
            precision=images.calibrate() if dtype == "int8" else dtype,
            top1s=find_evaluations(network.sha256, store) if TIMM in names else (),
            on_format=lambda name: on_progress(NextStep(text=f"writing and verifying {name}")),
        )
        if data and result.written:
            result = images.evaluate(result)
    for note in network.notes:
        display.say(note)
    for name, reason in result.failures.items():
        display.complain(f"{name}: {reason}")
    outputs.show(view_export(result))
    is_written = outputs.write({"--json": lambda: write_export_json(result)})
    return output.exit_code(failed=bool(result.failures) or not is_written)


def choose_paths(
    formats: Sequence[str], target: Path | None, model: str, suffix: str = ""
) -> dict[str, Path]:
    """Return the file of each format: in a folder, which need not exist, or the file that the user named."""
    from saevit.export.exporter import FOLDERS, FORMATS, TIMM

    folder = target or Path()
    endings = {name: form.endings[0] for name, form in FORMATS.items()} | {TIMM: ""}
    first, *others = formats
    if target and first in FOLDERS and not others and target.name.endswith(endings[first]):
        return {first: target}
    if folder.is_dir() or not (folder.suffix or folder.exists()):
        return {name: folder / f"{to_file_name(model)}{suffix}{endings[name]}" for name in formats}
    if others:
        raise OptionError(f"--output {target}: {len(formats)} formats need a folder, not a file")
    if first in FOLDERS:
        raise OptionError(f"--output {target} has no known ending: choose from {endings[first]}")
    return {first: folder}


def find_evaluations(sha256: str, store: Path | None) -> "list[MeasuredTop1]":
    """Return the stored evaluations of a file of weights; a store that cannot be read has none."""
    from saevit.runs.evaluation import list_top1s

    try:
        return [top1 for top1 in list_top1s(store, display.warn) if sha256 and top1.sha256 == sha256]
    except OptionError as error:
        if store:
            raise
        display.warn(f"evaluations are not read: {error}")
        return []
