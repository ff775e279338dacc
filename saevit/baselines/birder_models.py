"""birder's networks, built for real and offline: random weights, an ImageNet-1k head, ready for inference.

birder is an optional extra: it has EdgeViT and other relatives of SAEViT, which timm lacks. They are birder's
own implementations; where one departs from its authors' code, so do its counts.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from saevit.errors import MeasureError, MissingPackageError, OptionError, SaevitError, nearest, need

if TYPE_CHECKING:
    from torch import nn

PREFIX = "birder:"
EXAMPLES = ("edgevit_xs", "moganet*")
EXTRA = "birder"
NUM_CLASSES = 1000


def is_installed() -> bool:
    """Whether birder is there; it is not imported, which takes seconds."""
    return find_spec("birder") is not None


def build(name: str, img_size: tuple[int, int]) -> "nn.Module":
    """Return a birder model in eval mode, re-parameterised where its family has that; nothing is downloaded.

    It is built for `img_size` (H, W).

    Raises:
        MissingPackageError: birder is not installed, or broken.
        OptionError: birder has no such model (names the nearest).
        MeasureError: birder cannot build it, in one line.
    """
    check_name(name)
    try:
        with quiet():
            model = create(name, img_size)
            if hasattr(model, "reparameterize_model"):
                model.reparameterize_model()
            return model
    except Exception as error:  # birder's constructors raise all kinds
        raise MeasureError(
            f"birder cannot build {name!r} for {img_size[0]} x {img_size[1]} px: {short(error)}"
        ) from error


def create(name: str, img_size: tuple[int, int]) -> Any:
    """Create the model as it would be trained, in eval mode."""
    return registry().net_factory(name, NUM_CLASSES, size=img_size).eval()


def registry() -> Any:
    """Return birder's registry, filled.

    Raises:
        MissingPackageError: birder is not installed, or broken.
    """
    try:
        with quiet():
            need("birder.net", EXTRA)
            return need("birder.model_registry", EXTRA).registry
    except SaevitError:
        raise
    except Exception as error:  # one of its many dependencies is missing, or its settings are odd
        raise MissingPackageError(
            f"birder cannot be imported ({short(error)}): pip install 'saevit[{EXTRA}]' brings all it needs"
        ) from error


def names() -> list[str]:
    """Return the names of birder's classifiers, sorted.

    Raises:
        MissingPackageError: birder is not installed, or broken.
    """
    return sorted(registry().list_models(task="image_classification"))


def check_name(name: str) -> None:
    """Refuse a name that birder does not know."""
    known = names()
    if name not in known:
        raise OptionError(f"{PREFIX}{name} is not a birder model: {nearest(name, known)}")


def network(name: str) -> str:
    """Return what names share whose networks are the same: here all of it, birder has no tags."""
    return name


def short(error: Exception) -> str:
    """Return the first line of an error."""
    return str(error).partition("\n")[0] or type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back warnings and logs: from its import on, birder logs to stderr."""
    import logging

    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def version() -> str:
    """Return birder's version."""
    from importlib import metadata

    return metadata.version("birder")


def statement() -> str:
    """Say what these models are."""
    return (
        f"birder {version()}, its own implementation, random weights, {NUM_CLASSES} classes, "
        "re-parameterised where the family has that"
    )
