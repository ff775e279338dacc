"""`saevit export`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from saevit.errors import OptionError
from saevit_cli import display, options, output, readers

of_files = options.in_panel("Files")
DYNAMIC = "dynamic"


def read_batch(text: str) -> int | None:
    """Parse a batch size; None is any."""
    return None if text == DYNAMIC else readers.count_reader()(text)


Formats = Annotated[
    list[str] | None,
    of_files(
        "--format",
        metavar="onnx|pt2|openvino",
        help="Format, repeatable or joined by commas; the default follows the ending of --output, else onnx.",
    ),
]
Target = Annotated[
    Path | None,
    of_files(
        "--output",
        metavar="FILE|DIR",
        help="File to write (.onnx, .pt2 or .xml), or a folder, where it is named after the model; the "
        "default is the current folder.",
    ),
]
Batch = Annotated[
    Any,
    of_files(parser=read_batch, metavar="dynamic|N", help="Accept any batch size, or only this one."),
]
Opset = Annotated[
    int, of_files(parser=readers.count_reader(), metavar="N", help="ONNX operator set, 18 to 23.")
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
    json: options.Json = None,
    overwrite: options.Overwrite = False,
) -> int:
    """Write a network as ONNX, torch.export or OpenVINO files, and verify each file.

    Variants are written in the folded form, timm models re-parameterised. Each file is read back in its own
    runtime, and its outputs are compared with those of the network: a file with a relative difference above
    1e-4 is deleted.
    """
    subject = readers.read_network(model, None, None, None, None, classes, checkpoint=checkpoint)
    weights = readers.read_weights(checkpoint)
    from saevit.export.exporter import FORMATS, check_request, export_network
    from saevit.models import load_network
    from saevit.report.columns import View
    from saevit.report.views.export import export_json, export_tables

    by_ending = {form.endings[0]: name for name, form in FORMATS.items()}
    default = by_ending.get(target.suffix if target else "", "onnx")
    names = readers.read_names(",".join(format or [default]))
    check_request(names, batch=batch, opset=opset)
    paths = choose_paths(names, target, readers.output_name(subject, weights))
    _, *others = (path.with_suffix(end) for name, path in paths.items() for end in FORMATS[name].endings)
    outputs = output.Outputs(
        {"--json": json, "--output": paths[names[0]]}
        | {f"--output's {file.suffix}": file for file in others},
        overwrite=overwrite,
        inputs=[("--checkpoint", checkpoint)],
        endings={"--output": FORMATS[names[0]].endings[:1]},
    )
    network = load_network(subject, weights, img_size)
    for note in network.notes:
        display.say(note)
    with display.show_progress() as tell:
        tell(f"exporting {network.about.model}", None, None)
        result = export_network(network, paths, img_size=img_size, batch=batch, opset=opset)
    for one in result.written:
        display.say(f"wrote {' and '.join(one.files)}")
    for name, reason in result.failures.items():
        display.complain(f"{name}: {reason}")
    outputs.show(View(tables=export_tables(result)))
    is_written = outputs.write({"--json": lambda: export_json(result)})
    return output.exit_code(failed=bool(result.failures) or not is_written)


def choose_paths(formats: Sequence[str], target: Path | None, model: str) -> dict[str, Path]:
    """Return the file of each format."""
    from saevit.export.exporter import FORMATS

    folder = target or Path()
    if folder.is_dir():
        return {name: folder / f"{readers.stem_of(model)}{FORMATS[name].endings[0]}" for name in formats}
    if len(formats) > 1:
        raise OptionError(f"--output {target}: {len(formats)} formats go into a folder that exists")
    return {formats[0]: folder}
