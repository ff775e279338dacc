"""A network to files: written, read back, compared with what they were written from, then named."""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import saevit
from saevit.checkpoint import About
from saevit.errors import MeasureError, OptionError
from saevit.export.formats import Content, Format, Job, format_named
from saevit.export.onnx import OPSET, check_opset, reason_of
from saevit.export.verify import Difference, Reference, extremes, images, reference, verified
from saevit.files import owned, replace_file
from saevit.models import SEED, Weighted, for_inference

LARGEST_BATCH = 2**16
UNFINISHED = "<!-- saevit export was killed while it replaced this file: run it again -->\n"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The files of one format, and what was found when they were read back."""

    format: str
    files: Mapping[str, int]  # path to bytes
    content: Content
    differences: tuple[Difference, ...]  # one an image


@dataclass(frozen=True, kw_only=True)
class Export:
    """A network in several formats; those that it could not be written in, with the reason."""

    about: About
    img_size: tuple[int, int]
    batch: int | None  # None: any
    is_random: bool  # the weights
    written: tuple[Exported, ...]
    failures: Mapping[str, str]


def export(
    network: Weighted,
    paths: Mapping[str, Path],
    *,
    img_size: tuple[int, int] | None = None,
    batch: int | None = None,
    opset: int = OPSET,
) -> Export:
    """Write a network for inference in each format, and verify every file before it gets its name.

    Existing files are replaced. A format that fails leaves none behind; the others finish.

    Args:
        network: as `saevit.models.weighted` returns it.
        paths: format to file; OpenVINO's weights get the ending .bin beside it.
        img_size: (H, W); None is that of the network.
        batch: None takes any.
        opset: of ONNX.

    Raises:
        OptionError: a format, batch or opset that is not written.
        MissingPackageError: a format's package is not installed.
        MeasureError: the network's own outputs are not finite, or do not depend on the image.
    """
    formats = {name: format_named(name) for name in paths}
    check_opset(opset)
    if batch is not None and not 1 <= batch <= LARGEST_BATCH:
        raise OptionError(f"batch {batch}: from 1 to {LARGEST_BATCH}, or dynamic")
    size = img_size or network.about.img_size
    job = Job(
        model=for_inference(network.model),
        shape=(batch or 1, network.about.in_chans, *size),
        is_dynamic=batch is None,
        opset=opset,
        properties=properties(network, size),
    )
    about = network.about
    judged = images(about.in_chans, size, about.mean, about.std)
    expected = reference(job.model, judged, extremes(about.in_chans, size), batch)
    written, failures = [], {}
    for name, path in paths.items():
        try:
            with ExitStack() as owners:
                for ending in formats[name].endings:
                    owners.enter_context(owned(path.with_suffix(ending)))
                written.append(written_as(name, formats[name], job, expected, path))
        except (MeasureError, OptionError) as error:
            failures[name] = str(error)
    return Export(
        about=network.about,
        img_size=size,
        batch=batch,
        is_random=network.is_random,
        written=tuple(written),
        failures=failures,
    )


def written_as(name: str, form: Format, job: Job, expected: Reference, path: Path) -> Exported:
    """Write one format beside its place, read it back, compare, and put it there."""
    made: list[Exported] = []

    def write(temporary: Path) -> None:
        files = [temporary.with_suffix(ending) for ending in form.endings]
        try:
            content = form.write(job, temporary)
            try:
                differences = verified(form.read(temporary), expected)
            except MeasureError:
                raise
            except Exception as error:  # runtimes raise all kinds
                raise MeasureError(f"what was written cannot be read back: {reason_of(error)}") from error
            sizes = {str(path.with_suffix(file.suffix)): file.stat().st_size for file in files}
            put(files[1:], path)
        finally:
            for file in files[1:]:
                file.unlink(missing_ok=True)
        made.append(Exported(format=name, files=sizes, content=content, differences=tuple(differences)))

    replace_file(path, write)
    return made[0]


def put(others: Sequence[Path], path: Path) -> None:
    """Rename the further files of a format into place, right before the one that names them.

    What `path` held would fit them by its form and not by its values, so that meanwhile it holds a text that
    no runtime reads.
    """
    old = path.read_bytes() if others and path.is_file() else None
    try:
        if old is not None:
            replace_file(path, lambda temporary: temporary.write_text(UNFINISHED))
        for file in others:
            replace_file(path.with_suffix(file.suffix), partial(shutil.move, file))
    except (OSError, OptionError):
        if old is not None:
            replace_file(path, lambda temporary: temporary.write_bytes(old))
        raise


def properties(network: Weighted, img_size: tuple[int, int]) -> dict[str, str]:
    """Return what a file says of itself: enough to feed it and to read its classes."""
    about = network.about
    found = {
        "model": about.model,
        "weights": f"random, seed {SEED}" if network.is_random else "of a checkpoint",
        "sha256": network.sha256,  # of that file
        "img_size": ",".join(map(str, img_size)),
        "in_chans": str(about.in_chans),
        "mean": ",".join(map(str, about.mean)),
        "std": ",".join(map(str, about.std)),
        "num_classes": str(about.num_classes),
        "class_names": json.dumps(about.class_names) if about.class_names else "",
        "data": about.data,
        "saevit": saevit.__version__,
    }
    return {key: value for key, value in found.items() if value}
