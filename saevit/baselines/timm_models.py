"""timm's networks, built for real and offline: random weights, an ImageNet-1k head, ready for inference."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from saevit.errors import MeasureError, OptionError, first_line, nearest, need
from saevit.machine import HELD, free_memory

if TYPE_CHECKING:
    from torch import nn

PREFIX = "timm:"
EXAMPLES = ("resnet18", "mobilenetv4*")
NUM_CLASSES = 1000  # some timm names default to a head of 21,841 classes
CHOSEN_BY_TAG = ("deepseek_vit_", "qwen3_vit_")  # in timm 1.0.31 the tag sets their projector's width


def build_for_inference(
    name: str, img_size: tuple[int, int], *, num_classes: int = NUM_CLASSES
) -> "nn.Module":
    """Return a timm model in eval mode, re-parameterised where its family has that; nothing is downloaded.

    A model of fixed size is built for `img_size` (H, W); others take any.

    Raises:
        OptionError: timm has no such model (names the nearest).
        MeasureError: timm cannot build it, in one line.
    """
    return merge_branches(build_trainable(name, img_size, num_classes=num_classes))


def build_trainable(
    name: str,
    img_size: tuple[int, int],
    *,
    num_classes: int = NUM_CLASSES,
    in_chans: int = 3,
    drop_path_rate: float | None = None,
) -> "nn.Module":
    """Return a timm model in eval mode as it is trained; None is the model's own drop-path rate.

    Raises:
        OptionError: timm has no such model (names the nearest).
        MeasureError: timm cannot build it, in one line.
    """
    from saevit.count.peak import MemoryWatch

    check_model(name)
    timm = need("timm")
    settings: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_chans}
    if drop_path_rate is not None:
        settings["drop_path_rate"] = drop_path_rate
    size = f"{img_size[0]} x {img_size[1]} px"
    with explain_failure(f"build {name!r} for {size}"), MemoryWatch([""], most=free_memory() / HELD):
        model = timm.create_model(name, pretrained=False, **settings)
        config = model.pretrained_cfg
        if config.get("fixed_input_size") and tuple(config["input_size"][1:]) != img_size:
            model = timm.create_model(name, pretrained=False, img_size=img_size, **settings)
        network: nn.Module = model.eval()
        return network


def merge_branches(model: "nn.Module") -> "nn.Module":
    """Return a copy that is re-parameterised where its family has that.

    Raises:
        MeasureError: timm cannot, in one line.
    """
    with explain_failure(f"re-parameterise {type(model).__name__}"):
        merged: nn.Module = need("timm.utils.model").reparameterize_model(model)
        return merged


@contextmanager
def explain_failure(task: str) -> Iterator[None]:
    """Hold back timm's warnings, and turn any error of its constructors into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # timm's remarks on its own renamed models
            yield
    except Exception as error:
        raise MeasureError(f"timm cannot {task}: {first_line(error)}") from error


def list_names() -> list[str]:
    """Return timm's own names, sorted; they carry no tags.

    Networks that this package registers with timm are left out: they have names of their own.
    """
    return sorted(name for name in need("timm").list_models() if not name.startswith("saevit"))


def has_model(name: str) -> bool:
    """Return whether timm has a model of this name, with any tag or none."""
    found: bool = need("timm").is_model(name.partition(".")[0])
    return found


def check_model(name: str) -> None:
    """Refuse a name or tag that timm does not know."""
    timm = need("timm")
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        raise OptionError(f"{PREFIX}{name} is not a timm model: {nearest(base, timm.list_models())}")
    known = [
        full.partition(".")[2] for full in timm.list_pretrained(f"{base}*") if full.startswith(f"{base}.")
    ]
    if tag and tag not in known:
        raise OptionError(
            f"{PREFIX}{name}: {base} has no tag {tag!r}: {nearest(tag, known) if known else 'it has none'}"
        )


def name_architecture(name: str) -> str:
    """Return a name without its tag, unless the tag chooses the architecture."""
    return name if name.startswith(CHOSEN_BY_TAG) else name.partition(".")[0]


def describe_source(num_classes: int = NUM_CLASSES) -> str:
    """Return one line on what these models are."""
    return (
        f"timm {need('timm').__version__}, random weights, {num_classes} classes, "
        "re-parameterised where the family has that"
    )
