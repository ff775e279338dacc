"""The view of `saevit export`: the written files, and their differences from the network."""

from dataclasses import asdict
from pathlib import Path

from saevit.export.exporter import FORMATS, Export, Exported, FileAccuracy
from saevit.export.verify import LIMITS, RANGE
from saevit.report.columns import Column, Table, View, make_table, write_json
from saevit.report.units import percent, size, write_pixels
from saevit.text import plural

NOT_READ = "not read back: Core ML runs on macOS only"
MOST_OPERATORS = 12  # kinds of operators that one line names
FILES: tuple[Column[Exported], ...] = (
    Column("file", lambda one: name_files(list(one.files))),
    Column("size", lambda one: size(sum(one.files.values())), side="right"),
    Column(
        "difference", lambda one: f"{largest_difference(one):.1e}" if one.differences else "", side="right"
    ),
    Column("operators", lambda one: f"{sum(one.content.operators.values()):,}", side="right"),
    Column("versions", lambda one: ", ".join(f"{name} {v}" for name, v in one.content.versions.items())),
)


def view_export(export: Export) -> View:
    """Return the view of an export."""
    notes = ["Input must already be normalised; mean and std are in the metadata."]
    if any(one.format == "openvino" for one in export.written):
        notes.append(
            "OpenVINO computes in bf16 on processors that have it, unless INFERENCE_PRECISION_HINT is f32; "
            "the file was verified in f32."
        )
    if any(one.format == "coreml" for one in export.written):
        notes.append(f"coreml: {NOT_READ}; its outputs are not compared with the network's.")
    if fixed := list_fixed(export):
        notes.append(f"Files of {', '.join(fixed)} accept batch size {export.batch or 1} only.")
    if export.dtype == "int8" and not export.accuracies and not export.is_random:
        notes.insert(0, "The accuracy in int8 is not known: measure it with --data SOURCE.")
    random = "The weights are random: export trained ones with --checkpoint FILE"
    return View(
        result=summarize_export(export),
        warnings=(random,) if export.is_random else (),
        tables=list_tables(export),
        notes=tuple(notes) if export.written else (),
    )


def list_tables(export: Export) -> tuple[Table, ...]:
    """Return the table of files and, if measured, the table of their accuracies."""
    tables = [tabulate_files(export)] if export.written else []
    return (*tables, tabulate_accuracies(export)) if export.accuracies else tuple(tables)


def summarize_export(export: Export) -> str:
    """Summarize an export: the written files, and their largest difference from the network."""
    if not export.written:
        return "Nothing was written."
    differences = [largest_difference(one) for one in export.written if one.differences]
    files = [file for one in export.written for file in one.files]
    what = Path(files[0]).name if len(files) == 1 else plural(len(files), "file")
    failed = f" {plural(len(export.failures), 'format')} failed." if export.failures else ""
    accuracies = "".join(f" {describe_accuracy(one, export)}" for one in export.accuracies)
    if not differences:
        return f"Wrote {what}, {NOT_READ}.{failed}"
    verified = "Wrote and verified" if len(differences) == len(export.written) else "Wrote"
    return (
        f"{verified} {what}: the outputs differ from the network's by at most {max(differences):.1e} "
        f"(relative, limit {LIMITS[export.dtype]:g}).{accuracies}{failed}"
    )


def describe_accuracy(one: FileAccuracy, export: Export) -> str:
    """Write the top-1 of a file and its difference from the network as a sentence."""
    points = 100 * one.difference.value
    than = "equal to" if not points else f"{abs(points):.2f} points {'above' if points > 0 else 'below'}"
    return f"Top-1 of {one.format} ({export.dtype}) is {percent(one.top1.value, 2)}, {than} the network's."


def tabulate_accuracies(export: Export) -> Table:
    """Return the table of the top-1 of each file and its difference from the network."""
    (images,) = {one.top1.total for one in export.accuracies}
    columns: list[Column[FileAccuracy]] = [
        Column("format", lambda one: one.format),
        Column("top-1", lambda one: percent(one.top1.value, 2), "right"),
        Column("in torch, fp32", lambda one: percent(one.of_network.value, 2), "right"),
        Column("difference, points", show_difference, "right"),
        Column("p (McNemar)", lambda one: f"{one.difference.weights_p:.2g}", "right"),
    ]
    title = f"Top-1 on {export.evaluated_on}, {plural(images, 'image')}, {export.dtype}"
    note = "difference: file minus network, image by image, with its interval at 95 % over images"
    return make_table(title, columns, export.accuracies, [note])


def show_difference(one: FileAccuracy) -> str:
    """Write a difference of accuracies in points with its interval."""
    low, value, high = (100 * x for x in (one.difference.low, one.difference.value, one.difference.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def tabulate_files(export: Export) -> Table:
    """Return the table of the files: size, largest difference, operators and versions."""
    is_any = export.batch is None and len(list_fixed(export)) < len(export.written)
    batch = "any batch size" if is_any else f"batch size {export.batch or 1}"
    notes = [
        "difference: norm of the difference over norm of the outputs, the largest of all images within "
        f"{RANGE:g} standard deviations; the limit of {LIMITS[export.dtype]:g} applies to it and to the "
        "largest difference over the largest output; outputs of other images must be finite"
    ]
    if export.dtype == "int8":
        names = (FORMATS[one.format].quantiser for one in export.written)
        notes = [
            f"int8: quantised statically by {' and '.join(dict.fromkeys(names))}, calibrated on "
            f"{export.calibrated_on}; differences "
            f"are of {plural(len(export.written[0].differences), 'other image')}; the limit of "
            f"{LIMITS['int8']:g} only shows that the file is of this network"
        ]
    if export.dtype == "fp16":
        notes.insert(0, "fp16: weights are stored in float16; Core ML computes in it, other runtimes in fp32")
    for one in export.written:
        images = ", ".join(f"{each.image}: {each.relative:.1e}" for each in one.differences)
        notes.append(f"{one.format}: {list_operators(one)}")
        if images:
            notes.append(f"{one.format}, difference of each image: {images}")
    title = f"{export.about.model}: {write_pixels(export.img_size)}, {batch}, NCHW, {export.dtype}"
    return make_table(title, FILES, export.written, notes)


def list_fixed(export: Export) -> list[str]:
    """Return the formats whose files accept one batch size only."""
    names = [one.format for one in export.written]
    return [name for name in names if name in FORMATS and not FORMATS[name].any_batch]


def name_files(files: list[str]) -> str:
    """Write the path of the first file, and the endings of the others."""
    return " + ".join([files[0], *(Path(file).suffix for file in files[1:])])


def largest_difference(one: Exported) -> float:
    """Return the largest relative difference among the images to which the limit applies."""
    return max(difference.relative for difference in one.differences if difference.is_judged)


def list_operators(one: Exported) -> str:
    """Write the most frequent operators with their counts."""
    counts = [f"{count} {name}" for name, count in one.content.operators.items()]
    rest = len(counts) - MOST_OPERATORS
    return ", ".join(counts[:MOST_OPERATORS]) + (f", {plural(rest, 'more kind')}" if rest > 0 else "")


def write_export_json(export: Export) -> str:
    """Return an export as JSON."""
    return write_json(asdict(export))
