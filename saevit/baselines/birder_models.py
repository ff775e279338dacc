"""birder's networks, built for real and offline: random weights, an ImageNet-1k head, ready for inference.

birder is an optional extra: it has EdgeViT and other relatives of SAEViT, which timm lacks. They are birder's
own implementations; where one departs from its authors' code, so do its counts.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from saevit.errors import (
    MeasureError,
    MissingPackageError,
    OptionError,
    SaevitError,
    first_line,
    nearest,
    need,
)

if TYPE_CHECKING:
    from torch import nn

PREFIX = "birder:"
EXAMPLES = ("edgevit_xs", "moganet*")
EXTRA = "birder"
NUM_CLASSES = 1000


def is_installed() -> bool:
    """Return whether birder is installed, without importing it, which takes seconds."""
    return find_spec("birder") is not None


def build_for_inference(
    name: str, img_size: tuple[int, int], *, num_classes: int = NUM_CLASSES
) -> "nn.Module":
    """Return a birder model in eval mode, re-parameterised where its family has that; nothing is downloaded.

    It is built for `img_size` (H, W).

    Raises:
        MissingPackageError: birder is not installed, or broken.
        OptionError: birder has no such model (names the nearest).
        MeasureError: birder cannot build it, in one line.
    """
    check_model(name)
    try:
        with hold_back_logs():
            model = build_trainable(name, img_size, num_classes)
            if hasattr(model, "reparameterize_model"):
                model.reparameterize_model()
            network: nn.Module = model
            return network
    except Exception as error:  # birder's constructors raise all kinds
        size = f"{img_size[0]} x {img_size[1]} px"
        raise MeasureError(f"birder cannot build {name!r} for {size}: {first_line(error)}") from error


def build_trainable(name: str, img_size: tuple[int, int], num_classes: int = NUM_CLASSES) -> Any:
    """Return a birder model in eval mode as it is trained."""
    return load_registry().net_factory(name, num_classes, size=img_size).eval()


def load_registry() -> Any:
    """Return birder's registry, filled.

    Raises:
        MissingPackageError: birder is not installed, or broken.
    """
    try:
        with hold_back_logs():
            need("birder.net", EXTRA)
            return need("birder.model_registry", EXTRA).registry
    except SaevitError:
        raise
    except Exception as error:  # one of its many dependencies is missing, or its settings are odd
        raise MissingPackageError(
            f"birder cannot be imported ({first_line(error)}): "
            f"pip install 'saevit[{EXTRA}]' brings all it needs"
        ) from error


def list_names() -> list[str]:
    """Return the names of birder's classifiers, sorted.

    Raises:
        MissingPackageError: birder is not installed, or broken.
    """
    return sorted(load_registry().list_models(task="image_classification"))


def check_model(name: str) -> None:
    """Refuse a name that birder does not know."""
    known = list_names()
    if name not in known:
        raise OptionError(f"{PREFIX}{name} is not a birder model: {nearest(name, known)}")


def name_architecture(name: str) -> str:
    """Return a name without what only chooses weights: birder has no tags."""
    return name


@contextmanager
def hold_back_logs() -> Iterator[None]:
    """Hold back warnings and logs: from its import on, birder logs to stderr."""
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def describe_source(num_classes: int = NUM_CLASSES) -> str:
    """Return one line on what these models are."""
    return (
        f"birder {metadata.version('birder')}, its own implementation, random weights, "
        f"{num_classes} classes, re-parameterised where the family has that"
    )
