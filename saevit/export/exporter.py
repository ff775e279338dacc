"""Export of a network: files are written, read back, compared with the network, and then get their names."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import saevit
from saevit.checkpoint import About
from saevit.errors import MeasureError, OptionError, nearest, need
from saevit.export import verify
from saevit.export.coreml import COREML, PACKAGE_FILES
from saevit.export.executorch import EXECUTORCH
from saevit.export.formats import Content, ExportInput, Format, first_cause, silence_exporters
from saevit.export.int8 import Int8Images
from saevit.export.onnx import ONNX, OPSET, check_opset
from saevit.export.openvino import OPENVINO
from saevit.export.timm_folder import TIMM_FILES, WEIGHTS, read_timm_folder, write_timm_folder
from saevit.export.torch_export import TORCH_EXPORT
from saevit.files import TEMPORARY, owned, replace_file, unusable
from saevit.loading import LoadedNetwork
from saevit.models import SEED, convert_for_inference
from saevit.runs.accuracy_statistics import AccuracyDifference
from saevit.runs.record import Dtype
from saevit.runs.run import MeasuredTop1
from saevit.runs.statistics import Share

FORMATS: dict[str, Format] = {
    "onnx": ONNX,
    "pt2": TORCH_EXPORT,
    "openvino": OPENVINO,
    "executorch": EXECUTORCH,
    "coreml": COREML,
}
TIMM = "timm"
FOLDERS: dict[str, tuple[str, ...]] = {  # formats that are folders, and their files, the main one first
    TIMM: tuple(sorted(TIMM_FILES, key=WEIGHTS.__ne__)),
    "coreml": PACKAGE_FILES,
}
LARGEST_BATCH = 2**16
UNFINISHED = "<!-- saevit export was killed while it replaced this file: run it again -->\n"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The files of one format and their verification."""

    format: str
    files: Mapping[str, int]  # path to bytes
    content: Content
    differences: tuple[verify.Difference, ...]  # one per image; none if it cannot be read back here

    @property
    def path(self) -> Path:
        """The main file."""
        return Path(next(iter(self.files)))


@dataclass(frozen=True, kw_only=True)
class FileAccuracy:
    """Top-1 of an exported file, and of its network in torch on the same images."""

    format: str
    top1: Share
    of_network: Share
    difference: AccuracyDifference  # file minus network, image by image


@dataclass(frozen=True, kw_only=True)
class Export:
    """A network in several formats."""

    about: About
    img_size: tuple[int, int]
    batch: int | None  # None: any
    is_random: bool  # the weights
    written: tuple[Exported, ...]
    failures: Mapping[str, str]  # format to the reason why it was not written
    dtype: Dtype = "fp32"
    calibrated_on: str = ""  # int8: on which images
    evaluated_on: str = ""  # data and split of the accuracies
    accuracies: tuple[FileAccuracy, ...] = ()


def check_request(formats: Sequence[str], *, batch: int | None, opset: int, dtype: Dtype = "fp32") -> None:
    """Refuse a format, batch, opset or precision that cannot be written.

    Raises:
        OptionError: it is not one of those that are known.
        MissingPackageError: a package of a format is not installed.
    """
    for name in formats:
        if name not in (*FORMATS, TIMM):
            raise OptionError(f"format {name!r} is not known: {nearest(name, (*FORMATS, TIMM))}")
        if dtype not in (FORMATS[name].dtypes if name != TIMM else ("fp32",)):
            others = " or ".join(other for other, form in FORMATS.items() if dtype in form.dtypes)
            raise OptionError(
                f"format {name} is not written in {dtype}: "
                + (f"use --format {others}" if others else "use --dtype fp32")
            )
        for package in FORMATS[name].packages if name != TIMM else ():
            with silence_exporters():  # some warn when they are imported
                need(package, FORMATS[name].extra)
    check_opset(opset)
    if batch is not None and not 1 <= batch <= LARGEST_BATCH:
        raise OptionError(f"batch {batch}: from 1 to {LARGEST_BATCH}, or dynamic")


def export_network(
    network: LoadedNetwork,
    paths: Mapping[str, Path],
    *,
    img_size: tuple[int, int] | None = None,
    batch: int | None = None,
    opset: int = OPSET,
    precision: Literal["fp32", "fp16"] | Int8Images = "fp32",
    top1s: Sequence[MeasuredTop1] = (),
    on_format: Callable[[str], object] = lambda name: None,
) -> Export:
    """Write a network for inference in each format, and verify every file before it gets its name.

    Existing files are replaced, and missing folders made. A format that fails leaves no file; the others are
    still written.

    Args:
        network: as `saevit.models.weighted` returns it.
        paths: format to file, or to the folder of `timm`; see `list_files`.
        img_size: (H, W); None is that of the network.
        batch: None accepts any.
        opset: of ONNX.
        precision: of the weights; images to calibrate with write int8.
        top1s: evaluations of these weights, for the model card of `timm`.
        on_format: called with the name of each format before it is written.

    Raises:
        OptionError, MissingPackageError: see `check_request`.
        MeasureError: the network's own outputs are not finite, or do not depend on the image.
    """
    dtype: Dtype
    dtype, calibration = (precision, None) if isinstance(precision, str) else ("int8", precision)
    check_request(list(paths), batch=batch, opset=opset, dtype=dtype)
    about = network.about
    size = img_size or about.img_size
    source = ExportInput(
        model=convert_for_inference(network.model),
        shape=(batch or 1, about.in_chans, *size),
        is_dynamic=batch is None,
        opset=opset,
        properties=describe_network(network, size)
        | ({"int8": f"calibrated on {calibration.source}"} if calibration else {}),
        dtype=dtype,
        calibration=calibration.images if calibration else None,
    )
    images = verify.make_images(about.in_chans, size, about.mean, about.std)
    extremes = verify.make_extremes(about.in_chans, size)
    if calibration:
        images, extremes = dict(calibration.compared), {}
    expected = verify.compute_reference(source.model, images, extremes, batch)
    written, failures = [], {}
    for name, path in paths.items():
        on_format(name)
        try:
            if name == TIMM:
                written.append(export_timm_folder(network, size, expected, path, top1s))
            elif name in FOLDERS:
                written.append(export_package(name, source, path))
            else:
                written.append(export_format(name, source, expected, path))
        except (MeasureError, OptionError) as error:
            failures[name] = str(error)
    return Export(
        about=about,
        img_size=size,
        batch=batch,
        is_random=network.is_random,
        written=tuple(written),
        failures=failures,
        dtype=dtype,
        calibrated_on=calibration.source if calibration else "",
    )


def list_files(name: str, path: Path) -> list[Path]:
    """Return the files of a format, the main one first."""
    if name in FOLDERS:
        return [path / file for file in FOLDERS[name]]
    return [path, *(path.with_suffix(ending) for ending in FORMATS[name].endings[1:])]


def export_timm_folder(
    network: LoadedNetwork,
    img_size: tuple[int, int],
    expected: verify.Reference,
    folder: Path,
    top1s: Sequence[MeasuredTop1],
) -> Exported:
    """Write timm's folder beside its place, load it with timm, compare, and move its files to the place.

    The folder holds the weights of the defined form; files of the other formats hold the folded form.
    """
    network = replace(network, about=replace(network.about, img_size=img_size))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as place:
            content = write_timm_folder(network, Path(place), top1s)
            differences = verify.compare_outputs(read_timm_folder(Path(place)), expected)
            files = list_files(TIMM, folder)
            for file in files:
                (Path(place) / file.name).replace(file)
    except OSError as error:
        raise unusable(folder, error, "written") from error
    sizes = {str(file): file.stat().st_size for file in files}
    return Exported(format=TIMM, files=sizes, content=content, differences=differences)


def export_package(name: str, source: ExportInput, folder: Path) -> Exported:
    """Write a folder beside its place, and move its files to the place, the main one last."""
    form = FORMATS[name]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder.parent) as place:
            made = Path(place) / f"made{form.endings[0]}"
            content = form.write(source, made)
            main, *_ = files = list_files(name, made)
            for old, new in reversed([*zip(files, list_files(name, folder), strict=True)]):
                old.chmod(main.stat().st_mode)  # coremltools lets only the user read the others
                new.parent.mkdir(parents=True, exist_ok=True)
                old.replace(new)
    except OSError as error:
        raise unusable(folder, error, "written") from error
    size = sum(file.stat().st_size for file in list_files(name, folder))
    return Exported(format=name, files={str(folder): size}, content=content, differences=())


def export_format(name: str, source: ExportInput, expected: verify.Reference, path: Path) -> Exported:
    """Write one format under temporary names, read it back, compare, and rename it to its place."""
    made: list[Exported] = []
    form = FORMATS[name]
    assert form.read is not None  # else the format is a folder
    read = form.read

    def write(temporary: Path) -> None:
        files = [temporary.with_suffix(ending) for ending in form.endings]
        try:
            content = form.write(source, temporary)
            try:
                limit = verify.LIMITS[source.dtype]
                differences = verify.compare_outputs(read(temporary), expected, limit)
            except MeasureError:
                raise
            except Exception as error:  # runtimes raise all kinds
                raise MeasureError(f"the file cannot be read back: {first_cause(error)}") from error
            sizes = {str(path.with_suffix(file.suffix)): file.stat().st_size for file in files}
            replace_companions(files[1:], path)
        finally:
            for file in files[1:]:
                file.unlink(missing_ok=True)
        made.append(Exported(format=name, files=sizes, content=content, differences=differences))

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(path.parent, error, "made") from error
    with ExitStack() as owners:
        for ending in form.endings:
            owners.enter_context(owned(path.with_suffix(ending)))
        replace_file(path, write)
    return made[0]


def replace_companions(files: Sequence[Path], path: Path) -> None:
    """Rename the further files of a format into place, just before the main file `path` is replaced.

    An old main file would load the new companions and compute something else. In between it therefore holds a
    text that no runtime reads.
    """
    old = path.read_bytes() if files and path.is_file() else None
    try:
        if old is not None:
            replace_file(path, lambda temporary: temporary.write_text(UNFINISHED))
        for file in files:
            replace_file(path.with_suffix(file.suffix), partial(shutil.move, file))
    except (OSError, OptionError):
        if old is not None:
            replace_file(path, lambda temporary: temporary.write_bytes(old))
        raise


def describe_network(network: LoadedNetwork, img_size: tuple[int, int]) -> dict[str, str]:
    """Return the properties that a file carries: enough to prepare its images and to name its classes."""
    about = network.about
    properties = {
        "model": about.model,
        "weights": f"random, seed {SEED}" if network.is_random else "of a checkpoint",
        "sha256": network.sha256,  # of that checkpoint
        "img_size": ",".join(map(str, img_size)),
        "in_chans": str(about.in_chans),
        "mean": ",".join(map(str, about.mean)),
        "std": ",".join(map(str, about.std)),
        "num_classes": str(about.num_classes),
        "class_names": json.dumps(about.class_names) if about.class_names else "",
        "data": about.data,
        "saevit": saevit.__version__,
    }
    return {key: value for key, value in properties.items() if value}
