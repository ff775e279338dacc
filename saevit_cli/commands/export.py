"""`saevit export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saevit_cli import options, output, readers
from saevit_cli.commands import export_options as own

if TYPE_CHECKING:
    from saevit.checkpoint import Checkpoint
    from saevit.export.export import Export
    from saevit.variant import VariantSpec


def export(
    model: own.Model = None,
    checkpoint: own.Checkpoint = None,
    formats: own.Formats = None,
    target: own.Output = None,
    img_size: own.ImgSize = None,
    batch: own.Batch = own.DYNAMIC,
    opset: own.Opset = "20",
    json: options.Json = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write a network as ONNX, torch.export or OpenVINO files, each verified before it gets its name.

    A variant is written in the folded form, a timm model re-parameterised. Each file is read back in its
    own runtime and compared; one that is off by more than 1e-4 on an image of up to 4 standard deviations is
    not kept.
    """
    names = own.read_formats(formats, target)
    subject = None if model is None else readers.read_model(model, None, None, None, [])
    size = None if img_size is None else readers.read_size(img_size)
    fixed, version = own.read_batch(batch), readers.read_count("--opset", opset)
    weights = readers.read_weights(checkpoint)
    paths = own.paths_of(names, target, readers.name_of(subject, weights))
    own.check_outputs(paths, json, checkpoint, overwrite=overwrite)
    found = exported(subject, weights, paths, size, fixed, version)
    is_written = emit(found, json)
    raise typer.Exit(output.FAILED if found.failures or not is_written else 0)


def exported(
    model: "VariantSpec | str | None",
    weights: "Checkpoint | None",
    paths: dict[str, Path],
    img_size: tuple[int, int] | None,
    batch: int | None,
    opset: int,
) -> "Export":
    """Build the network and write its files."""
    from saevit.export.export import export
    from saevit.export.formats import format_named
    from saevit.export.onnx import check_opset
    from saevit.models import weighted

    check_opset(opset)
    for name in paths:
        format_named(name)
    network = weighted(model, weights, img_size)
    for note in network.notes:
        output.say(note)
    with output.progress() as tell:
        tell(f"exporting {network.about.model}", None, None)
        return export(network, paths, img_size=img_size, batch=batch, opset=opset)


def emit(found: "Export", json: str | None) -> bool:
    """Say what was written, show tables unless data go to stdout, then write data. Was that done?"""
    from saevit_cli.commands.export_view import export_json, export_tables

    for one in found.written:
        output.say(f"wrote {' and '.join(one.files)}")
    for name, reason in found.failures.items():
        output.say(f"error: {name}: {reason}")
    if json != output.STDOUT:
        output.show(export_tables(found))
    return output.write_all(("--json", json, lambda: export_json(found)))
