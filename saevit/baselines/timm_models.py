"""timm's networks, built for real and offline: random weights, an ImageNet-1k head, ready for inference."""

import warnings
from typing import TYPE_CHECKING, Any

from saevit.errors import MeasureError, OptionError, nearest, need
from saevit.machine import HELD, free_memory

if TYPE_CHECKING:
    from torch import nn

PREFIX = "timm:"
EXAMPLES = ("resnet18", "mobilenetv4*")
NUM_CLASSES = 1000  # some timm names default to a head of 21,841 classes
CHOSEN_BY_TAG = ("deepseek_vit_", "qwen3_vit_")  # in timm 1.0.31 the tag sets their projector's width


def build_network(name: str, img_size: tuple[int, int]) -> "nn.Module":
    """Return a timm model in eval mode, re-parameterised where its family has that; nothing is downloaded.

    A model of fixed size is built for `img_size` (H, W); others take any.

    Raises:
        OptionError: timm has no such model (names the nearest).
        MeasureError: timm cannot build it, in one line.
    """
    return merge_branches(build_trainable(name, img_size))


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
    settings: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_chans}
    if drop_path_rate is not None:
        settings["drop_path_rate"] = drop_path_rate
    try:
        with warnings.catch_warnings(), MemoryWatch([""], most=free_memory() / HELD):
            warnings.simplefilter("ignore")  # timm's remarks on its own renamed models
            return create_model(need("timm"), name, img_size, settings).eval()
    except Exception as error:  # timm's constructors raise all kinds
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise MeasureError(
            f"timm cannot build {name!r} for {img_size[0]} x {img_size[1]} px: {reason}"
        ) from error


def merge_branches(model: "nn.Module") -> "nn.Module":
    """Return a copy with branches merged where the family has that.

    Raises:
        MeasureError: timm cannot, in one line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return need("timm.utils.model").reparameterize_model(model)
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise MeasureError(f"timm cannot re-parameterise {type(model).__name__}: {reason}") from error


def create_model(timm: Any, name: str, img_size: tuple[int, int], settings: dict[str, Any]) -> "nn.Module":
    """Create the model, telling those of fixed size which one it is."""
    model = timm.create_model(name, pretrained=False, **settings)
    config = model.pretrained_cfg
    if config.get("fixed_input_size") and tuple(config["input_size"][1:]) != img_size:
        model = timm.create_model(name, pretrained=False, img_size=img_size, **settings)
    return model


def list_names() -> list[str]:
    """Return timm's names, sorted; they carry no tags."""
    return sorted(need("timm").list_models())


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


def describe_source() -> str:
    """Return one line on what these models are."""
    return (
        f"timm {need('timm').__version__}, random weights, {NUM_CLASSES} classes, "
        "re-parameterised where the family has that"
    )
