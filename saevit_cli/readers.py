"""Parsers of options, which convert text to a value, or raise an OptionError with the value and the rule.

`app` adds the name of the option to the error. Typer also passes defaults to parsers, which may not be text.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from saevit.baselines.adapters import read_library_model
from saevit.errors import OptionError, nearest
from saevit.machine import most_threads
from saevit.runs.record import BYTES, Dtype
from saevit.text import abbreviated, read_number, read_whole
from saevit.variant import KEYS, VariantSpec, read_pairs, set_values

if TYPE_CHECKING:
    from saevit.checkpoint import Checkpoint

MOST = 10**6  # default maximum of a count
MOST_PROCESSES = 256
MOST_CLASSES = int(KEYS["classes"].high)


def count_reader(*, least: int = 1, most: int = MOST) -> Callable[[Any], int]:
    """Return a parser of one whole number between bounds."""

    def read(text: Any) -> int:
        try:
            count = read_whole(str(text))
        except ValueError:
            count = least - 1
        if not least <= count <= most:
            raise OptionError(f"{abbreviated(str(text))}: a whole number from {least} to {most:,}")
        return count

    return read


def number_reader(*, most: float) -> Callable[[Any], float]:
    """Return a parser of one number above 0 and up to a bound."""

    def read(text: Any) -> float:
        try:
            value = read_number(str(text))
        except ValueError:
            value = 0.0
        if not 0 < value <= most:
            raise OptionError(f"{abbreviated(str(text))}: a number above 0, at most {most:g}")
        return value

    return read


def read_threads(text: Any) -> int:
    """Parse a number of threads that this machine can start."""
    return count_reader(most=most_threads())(text)


def read_whole_numbers(text: str) -> tuple[int, ...]:
    """Parse whole numbers joined by commas."""
    try:
        return tuple(map(read_whole, text.split(",")))
    except ValueError:
        raise OptionError(
            f"{abbreviated(text)}: whole numbers joined by commas, for example 224,224"
        ) from None


def read_size(text: str) -> tuple[int, int]:
    """Parse `N`, `HxW` or `H,W` to (H, W)."""
    sides = read_whole_numbers(text.replace("x", ","))
    if len(sides) > 2:
        raise OptionError(f"{text}: {len(sides)} numbers, give one side or HxW, such as 224x192")
    return sides[0], sides[-1]


def read_batch_sizes(text: str) -> tuple[int, ...]:
    """Parse batch sizes joined by commas."""
    sizes = tuple(map(count_reader(), text.split(",")))
    if len(set(sizes)) < len(sizes):
        raise OptionError(f"{abbreviated(text)}: name every batch size once")
    return sizes


def read_names(text: str) -> tuple[str, ...]:
    """Parse names joined by commas; repeated names are dropped."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def read_dtypes(text: str) -> tuple[Dtype, ...]:
    """Parse precisions joined by commas."""
    names = read_names(text)
    for name in names:
        if name not in BYTES:
            raise OptionError(f"{abbreviated(name)!r} is not available: {nearest(name, BYTES)}")
    return cast(tuple[Dtype, ...], names)


def read_rates(text: str) -> str:
    """Return sampling rates as the key of a variant writes them: 8,4,2,1 as 8-4-2-1."""
    return text.replace(",", "-")


def read_model(
    model: str,
    width: str | None = None,
    depth: str | None = None,
    rates: str | None = None,
    settings: list[str] | None = None,
    classes: int | None = None,
) -> VariantSpec | str:
    """Return a variant with the keys of the options, or the canonical text of a model of another library.

    Models of other libraries have only the key `classes`.
    """
    from saevit.models import resolve_model

    given = {"classes": classes, "width": width, "depth": depth, "rates": rates}
    values = {key: str(value) for key, value in given.items() if value is not None}
    for key, value in read_pairs(settings or []).items():
        if key in values:
            raise OptionError(
                f"{key!r} is given as an option ({values[key]}) and by --set ({value}): keep one"
            )
        values[key] = value
    named = resolve_model(model)
    if isinstance(named, VariantSpec):
        return set_values(named, values)
    return add_keys(named, values)


def add_keys(model: str, values: Mapping[str, str]) -> str:
    """Return the text of another library's model with its number of classes; refuse other keys."""
    if others := [key for key in values if key != "classes"]:
        raise OptionError(
            f"{', '.join(others)} cannot be set on {model}: only SAEViT variants have such keys"
        )
    if not values:
        return model
    if "classes=" in model:
        raise OptionError(f"the number of classes is given in {model} and as an option: keep one")
    return str(read_library_model(f"{model}:classes={values['classes']}"))


def read_network(
    model: str | None,
    width: str | None,
    depth: str | None,
    rates: str | None,
    settings: list[str] | None,
    classes: int | None = None,
    *,
    checkpoint: Path | None,
    default: str | None = None,
) -> VariantSpec | str | None:
    """Return the model of a command with --checkpoint; None means that the checkpoint names the model."""
    name = model or (None if checkpoint else default)
    if name is not None:
        return read_model(name, width, depth, rates, settings, classes)
    if checkpoint and (width or depth or rates or settings or classes is not None):
        raise OptionError(
            f"--checkpoint {checkpoint} has the weights of one network: name its model too, or leave out "
            "--width, --depth, --rates, --classes and --set"
        )
    return None


def read_weights(path: Path | None) -> "Checkpoint | None":
    """Read a file of weights; None without a file."""
    if path is None:
        return None
    from saevit.checkpoint import read_checkpoint

    return read_checkpoint(path)


def output_name(model: VariantSpec | str | None, weights: "Checkpoint | None") -> str:
    """Return the name for output files: the given model, or else the model of the weights."""
    return weights.model or weights.path.stem if model is None and weights else str(model)
