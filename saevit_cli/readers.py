"""From the text of an option to its value, or one line that says what it may be."""

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from saevit.baselines.adapters import split
from saevit.errors import OptionError, nearest
from saevit.machine import most_threads
from saevit.text import abbreviated, read_number, read_whole
from saevit.variant import VariantSpec, pairs, parse, with_values

if TYPE_CHECKING:
    from saevit.checkpoint import Checkpoint
    from saevit.count.modules_of import By
    from saevit.runs.record import Dtype, MemoryFormat

MOST = 10**6  # of what is counted, unless a reader says otherwise
MOST_PROCESSES = 256


def read_model(
    model: str, width: str | None, depth: str | None, sparsity: str | None, settings: list[str]
) -> VariantSpec | str:
    """Return the variant with the options' keys set, or the text of another kind of model as it is."""
    given = {"width": width, "depth": depth, "rates": sparsity.replace(",", "-") if sparsity else None}
    values = {key: value for key, value in given.items() if value is not None}
    for key, value in pairs(settings).items():
        if key in values:
            raise OptionError(
                f"{key!r} is given as an option ({values[key]}) and by --set ({value}): keep one"
            )
        values[key] = value
    if split(model):
        if values:
            raise OptionError(
                f"{', '.join(values)} cannot be set on {model}: they are keys of SAEViT variants"
            )
        return model
    return with_values(parse(model), values)


def read_network(
    model: str | None,
    width: str | None,
    depth: str | None,
    sparsity: str | None,
    settings: list[str] | None,
    *,
    checkpoint: Path | None,
    default: str,
) -> VariantSpec | str | None:
    """Return the model of a command that takes weights: None is the one that the checkpoint names."""
    if model is not None or checkpoint is None:
        return read_model(model or default, width, depth, sparsity, settings or [])
    if width or depth or sparsity or settings:
        raise OptionError(
            f"--checkpoint {checkpoint} is of one network: name its variant too, or leave "
            "--width, --depth, --sparsity and --set out"
        )
    return None


def read_weights(path: Path | None) -> "Checkpoint | None":
    """Read a file of weights, if one is named."""
    if path is None:
        return None
    from saevit.checkpoint import read_checkpoint

    return read_checkpoint(path)


def name_of(model: VariantSpec | str | None, weights: "Checkpoint | None") -> str:
    """Return what outputs are named for: the model that the user named, else what the weights say."""
    return weights.model or weights.path.stem if model is None and weights else str(model)


def read_size(text: str) -> tuple[int, int]:
    """Read `N` or `H,W`."""
    sides = read_numbers("--img-size", text)
    if len(sides) > 2:
        raise OptionError(f"--img-size {text}: {len(sides)} numbers, give N or H,W")
    return sides[0], sides[-1]


def read_batches(text: str) -> tuple[int, ...]:
    """Read batch sizes, each once and 1 or more."""
    sizes = tuple(read_count("--batch-size", part) for part in text.split(","))
    if len(set(sizes)) < len(sizes):
        raise OptionError(f"--batch-size {abbreviated(text)}: a size stands twice, once is enough")
    return sizes


def read_threads(text: str | None) -> int | None:
    """Read a number of threads; None is left to the library."""
    return None if text is None else read_count("--threads", text, most=most_threads())


def read_rounds(text: str) -> int:
    """Read a number of rounds."""
    return read_count("--rounds", text)


def read_count(option: str, text: str, *, least: int = 1, most: int = MOST) -> int:
    """Read one whole number between bounds."""
    try:
        count = read_whole(text)
    except ValueError:
        count = least - 1
    if not least <= count <= most:
        rule = f"a whole number of {least} or more, at most {most:,}"
        raise OptionError(f"{option} {abbreviated(text)}: {rule}")
    return count


def read_min_time(text: str) -> float:
    """Read a sample's least time in seconds."""
    return read_positive("--min-time", text, 3600, "seconds above 0, such as 0.1")


def read_positive(option: str, text: str, most: float, rule: str) -> float:
    """Read a number above 0 and up to a bound."""
    try:
        value = read_number(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= most:
        raise OptionError(f"{option} {abbreviated(text)}: {rule}, at most {most:g}")
    return value


def read_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read whole numbers joined by commas."""
    try:
        return tuple(map(read_whole, text.split(",")))
    except ValueError:
        shown = abbreviated(text)
        raise OptionError(f"{option} {shown}: whole numbers joined by commas, for example 224,224") from None


def read_names(text: str) -> tuple[str, ...]:
    """Read names joined by commas, each kept once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def read_by(text: str) -> "By":
    """Read the lines of a breakdown."""
    from saevit.count.modules_of import By

    return cast("By", one_of("--by", text, get_args(By)))


def read_dtype(text: str) -> "Dtype":
    """Read a precision."""
    from saevit.runs.record import Dtype

    return cast("Dtype", one_of("--dtype", text, get_args(Dtype)))


def read_layout(text: str) -> "MemoryFormat":
    """Read a layout."""
    from saevit.runs.record import MemoryFormat

    return cast("MemoryFormat", one_of("--memory-format", text, get_args(MemoryFormat)))


def one_of(option: str, text: str, choices: tuple[str, ...]) -> str:
    """Return the text if it is one of the choices."""
    if text not in choices:
        raise OptionError(f"{option} {text} is not known: {nearest(text, choices)}")
    return text
