"""What `saevit export` wrote, as tables and as data."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from saevit.report.columns import Table, text_columns
from saevit.report.units import plural, size, thousands

if TYPE_CHECKING:
    from saevit.export.export import Export, Exported
    from saevit.export.verify import Difference

MOST_OPERATORS = 12  # kinds that one line can hold


def export_tables(found: "Export") -> tuple[Table, ...]:
    """Return the files, then how far each is off."""
    if not found.written:
        return ()
    return files_table(found), differences_table(found)


def files_table(found: "Export") -> Table:
    """Return size, versions and operators of each format."""
    height, width = found.img_size
    batch = "any batch" if found.batch is None else f"batch {found.batch}"
    notes = [f"{one.format}: {operators_line(one.content.operators)}" for one in found.written]
    notes += ["fp32 throughout, the layout of images is NCHW, normalised by the mean and std in the file"]
    if any(one.format == "openvino" for one in found.written):
        notes.append(
            "OpenVINO computes in bf16 where the processor has it, unless INFERENCE_PRECISION_HINT is f32; "
            "verified in f32"
        )
    if found.is_random:
        notes.append("random weights, nothing was learned: --checkpoint FILE")
    return Table(
        title=f"{found.about.model}, {height} x {width} px, {batch}",
        columns=text_columns("format", "file", ">size", ">operators", "versions"),
        rows=tuple(row_of(one) for one in found.written),
        notes=tuple(notes),
    )


def row_of(one: "Exported") -> tuple[str, ...]:
    """Return the line of one format."""
    return (
        one.format,
        " + ".join(one.files),
        size(sum(one.files.values())),
        thousands(sum(one.content.operators.values())),
        ", ".join(f"{name} {version}" for name, version in one.content.versions.items()),
    )


def operators_line(operators: Mapping[str, int]) -> str:
    """Return the most frequent operators with their counts."""
    shown = [f"{count} {name}" for name, count in operators.items()]
    rest = len(shown) - MOST_OPERATORS
    return ", ".join(shown[:MOST_OPERATORS]) + (f", {plural(rest, 'more kind')}" if rest > 0 else "")


def differences_table(found: "Export") -> Table:
    """Return how far the files are off, read back in their own runtimes."""
    from saevit.export.verify import LIMIT, RANGE

    columns = ["image", "judged"]
    for one in found.written:
        columns += [f">{one.format}, relative", ">of largest", ">absolute"]
    by_image = zip(*(one.differences for one in found.written), strict=True)
    return Table(
        title=f"largest differences from the network that was written, limit {LIMIT:g} where judged",
        columns=text_columns(*columns),
        rows=tuple(
            (one.image, "yes" if one.is_judged else "no", *(text for each in same for text in figures(each)))
            for one, same in ((same[0], same) for same in by_image)
        ),
        notes=(
            "relative: norm of the difference over norm of the outputs; of largest: largest difference "
            "over largest output; the worst of every batch that the image was in",
            f"judged by the first two: images of up to {RANGE:g} standard deviations; of the others, outputs "
            "only have to be finite, as rounding alone may move them",
        ),
    )


def figures(one: "Difference") -> tuple[str, ...]:
    """Return the figures of one image in one format."""
    return tuple(f"{value:.1e}" for value in (one.relative, one.of_largest, one.absolute))


def export_json(found: "Export") -> str:
    """Return everything as JSON."""
    data: dict[str, Any] = asdict(found)
    return json.dumps(data, indent=2) + "\n"
