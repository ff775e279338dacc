"""The view of `saevit export`: what was written, and how far the files differ from the network."""

from dataclasses import asdict

from saevit.export.exporter import Export, Exported
from saevit.export.verify import LIMIT, RANGE
from saevit.report.columns import Column, Table, make_table, text_table, write_json
from saevit.report.units import size
from saevit.text import plural

MOST_OPERATORS = 12  # kinds of operators that one line names
FILES: tuple[Column[Exported], ...] = (
    Column("format", lambda one: one.format),
    Column("file", lambda one: " + ".join(one.files)),
    Column("size", lambda one: size(sum(one.files.values())), side="right"),
    Column("operators", lambda one: f"{sum(one.content.operators.values()):,}", side="right"),
    Column("versions", lambda one: ", ".join(f"{name} {v}" for name, v in one.content.versions.items())),
)


def export_tables(export: Export) -> tuple[Table, ...]:
    """Return the table of the files and the table of their differences; none if nothing was written."""
    return (files_table(export), differences_table(export)) if export.written else ()


def files_table(export: Export) -> Table:
    """Return size, versions and operators of each format."""
    height, width = export.img_size
    batch = "any batch" if export.batch is None else f"batch {export.batch}"
    notes = [f"{one.format}: {list_operators(one)}" for one in export.written]
    notes.append("all in fp32; images are NCHW, normalised by the mean and std in the file")
    if any(one.format == "openvino" for one in export.written):
        notes.append(
            "OpenVINO computes in bf16 on processors that have it, unless INFERENCE_PRECISION_HINT is f32; "
            "verified in f32"
        )
    if export.is_random:
        notes.append("random weights: name trained ones with --checkpoint FILE")
    return make_table(f"{export.about.model}, {height} x {width} px, {batch}", FILES, export.written, notes)


def list_operators(one: Exported) -> str:
    """Return the most frequent operators with their counts."""
    counts = [f"{count} {name}" for name, count in one.content.operators.items()]
    rest = len(counts) - MOST_OPERATORS
    return ", ".join(counts[:MOST_OPERATORS]) + (f", {plural(rest, 'more kind')}" if rest > 0 else "")


def differences_table(export: Export) -> Table:
    """Return the differences of each image, with three columns for each format."""
    heads = ["image", "limit applies"]
    for one in export.written:
        heads += [f">{one.format}, relative", ">of largest", ">absolute"]
    rows = []
    for same in zip(*(one.differences for one in export.written), strict=True):
        values = [value for one in same for value in (one.relative, one.of_largest, one.absolute)]
        is_judged = "yes" if same[0].is_judged else "no"
        rows.append((same[0].image, is_judged, *(f"{value:.1e}" for value in values)))
    return text_table(
        f"largest differences from the network, limit {LIMIT:g}",
        heads,
        rows,
        [
            "relative: norm of the difference over norm of the outputs; of largest: largest difference over "
            "largest output; the largest values of all batches that contained the image",
            f"the limit applies to relative and of largest, for images of up to {RANGE:g} standard "
            "deviations; for the others outputs must only be finite, as rounding alone may change them",
        ],
    )


def export_json(export: Export) -> str:
    """Return all results as JSON."""
    return write_json(asdict(export))
