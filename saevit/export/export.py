"""A network to files: written, read back, compared with what they were written from, then named."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import saevit
from saevit.checkpoint import About
from saevit.errors import MeasureError, OptionError
from saevit.export.formats import Content, Format, Job, format_named
from saevit.export.onnx import OPSET, check_opset, reason_of
from saevit.export.verify import Difference, extremes, images, verified
from saevit.network import SEED, Weighted, for_inference

LARGEST_BATCH = 2**16


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
        network: as `saevit.network.weighted` returns it.
        paths: format to file; OpenVINO's weights get the ending .bin beside it.
        img_size: (H, W); None is that of the network.
        batch: None takes any.
        opset: of ONNX.

    Raises:
        OptionError: a format, batch or opset that is not written.
        MissingPackageError: a format's package is not installed.
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
    written, failures = [], {}
    for name, path in paths.items():
        try:
            written.append(written_as(name, formats[name], job, network.about, path))
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


def written_as(name: str, form: Format, job: Job, about: About, path: Path) -> Exported:
    """Write one format beside its place, read it back, compare, and put it there."""
    judged = images(about.in_chans, job.shape[2:], about.mean, about.std)
    told = extremes(about.in_chans, job.shape[2:])
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saevit-") as folder:
            temporary = Path(folder) / path.name
            content = form.write(job, temporary)
            try:
                run = form.read(temporary)
                found = verified(job.model, run, judged, told, None if job.is_dynamic else job.shape[0])
            except MeasureError:
                raise
            except Exception as error:  # runtimes raise all kinds
                raise MeasureError(f"what was written cannot be read back: {reason_of(error)}") from error
            sizes = {str(path.with_suffix(e)): temporary.with_suffix(e).stat().st_size for e in form.endings}
            put(temporary, path, form.endings)
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror or error}") from error
    return Exported(format=name, files=sizes, content=content, differences=tuple(found))


def put(temporary: Path, path: Path, endings: Sequence[str]) -> None:
    """Rename all files into place or none, the one that names them last; what they replace goes first."""
    replaced = [path.with_suffix(ending) for ending in endings if path.with_suffix(ending).is_file()]
    aside = temporary.parent / "replaced"
    aside.mkdir()
    try:
        for old in replaced:
            old.replace(aside / old.name)
        for ending in reversed(endings):
            temporary.with_suffix(ending).replace(path.with_suffix(ending))
    except OSError:
        for ending in endings:
            path.with_suffix(ending).unlink(missing_ok=True)
        for old in replaced:
            if (aside / old.name).is_file():
                (aside / old.name).replace(old)
        raise


def properties(network: Weighted, img_size: tuple[int, int]) -> dict[str, str]:
    """Return what a file says of itself: enough to feed it and to read its classes."""
    about = network.about
    found = {
        "model": about.model,
        "weights": f"random, seed {SEED}" if network.is_random else "of a checkpoint",
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
