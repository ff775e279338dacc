"""Initialise a network with the weights of a checkpoint, and with a new classifier for other classes."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from saevit.checkpoint import COUNTERS, Checkpoint, MisfitError, describe_misfit, fit_weights, read_checkpoint
from saevit.errors import OptionError
from saevit.loading import find_length, list_weights
from saevit.models import build_network, read_about
from saevit.text import abbreviated, plural, printable
from saevit.train.image_data import ImageData

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """The SHA-256 of the checkpoint, and a note (one line) on the weights that were used."""

    sha256: str
    note: str


def load_initial_weights(
    net: nn.Module, model: str, path: Path, data: ImageData, *, img_size: tuple[int, int], sha256: str | None
) -> InitialWeights:
    """Load the weights of a checkpoint into a network. Keep the new classifier if the classes differ.

    Args:
        net: the network, built for the classes of the data and for `img_size`.
        model: the text of the network's model.
        path: a file of `saevit train` or of torch.save, in any precision and trained at any size.
        data: the training images.
        img_size: (H, W) of the training in pixels.
        sha256: the SHA-256 of the file at the start of the run; None for a new run.

    Raises:
        OptionError: the file cannot be read, has changed since the start of the run, or belongs to another
            network.
    """
    file = read_checkpoint(path, "--init")
    if sha256 not in (None, file.sha256):
        raise OptionError(
            f"{file.label} has changed since the run began: its SHA-256 is {file.sha256[:12]}, not "
            f"{str(sha256)[:12]}; restore the file, or start a new run"
        )
    heads = name_classifiers(net)
    classes = count_classes(file, net, data.num_classes)
    build = partial(build_network, model, num_classes=classes)
    try:
        weights, note = fit_any_size(file, net, build, list_sizes(file, net, img_size))
    except MisfitError as error:
        of = (
            f"it is of {file.model}; "
            if file.model not in ("", read_about(net, model, img_size).model)
            else ""
        )
        raise OptionError(f"{file.label} does not fit {model}: {of}{error}") from error
    reason = compare_classes(file, classes, data)
    kept = {n: w for n, w in weights.items() if not (reason and n.startswith(heads))}
    net.load_state_dict(kept, strict=False)
    used = f"with a new classifier: {reason}" if reason else "with its classifier"
    others = f"; {note}" if note else ""
    return InitialWeights(sha256=file.sha256, note=f"{printable(str(path))}, {used}{others}")


def name_classifiers(net: Any) -> tuple[str, ...]:
    """Return the prefixes of the classifier's weights; some timm networks have two classifiers."""
    found = net.get_classifier()
    layers = found if isinstance(found, tuple | list) else (found,)
    return tuple(f"{name}." for name, module in net.named_modules() if any(module is one for one in layers))


def count_classes(file: Checkpoint, net: nn.Module, num_classes: int) -> int:
    """Return the number of classes of a checkpoint; 0 without a classifier."""
    heads = name_classifiers(net)
    names = [n for n, w in net.state_dict().items() if n.startswith(heads) and w.shape[:1] == (num_classes,)]
    return next((count for name in names if (count := find_length(name, file)) is not None), 0)


def list_sizes(file: Checkpoint, net: Any, img_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the input sizes to try: that of the run, then that of the checkpoint or of timm's weights."""
    sizes = [img_size]
    if file.about:
        sizes.append(file.about.img_size)
    elif config := getattr(net, "pretrained_cfg", None):
        sizes.append(tuple(config["input_size"][1:]))
    return list(dict.fromkeys(sizes))


def fit_any_size(
    file: Checkpoint, net: nn.Module, build: Callable[..., nn.Module], sizes: list[tuple[int, int]]
) -> tuple[Weights, str]:
    """Return the weights of a checkpoint for the network, and a note, by the first input size that fits.

    Raises:
        MisfitError: the weights fit at no size; the message is that of the first size (see `fit_weights`).
    """
    first: MisfitError | None = None
    for size in sizes:
        try:
            weights, note = fit_weights(file, list_weights(partial(build, img_size=size)))
            return (weights if size == sizes[0] else resize_weights(weights, net)), note
        except MisfitError as error:
            first = first or error
    assert first is not None
    raise first


def resize_weights(weights: Weights, net: nn.Module) -> Weights:
    """Return the weights for the input size of the network; timm resizes position embeddings.

    Raises:
        MisfitError: timm cannot resize them.
    """
    resize = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    resized = weights if resize is None else resize(dict(weights), net)
    heads = name_classifiers(net)

    def others(tensors: Weights) -> Weights:
        return {n: w for n, w in tensors.items() if not n.startswith(heads) and not n.endswith(COUNTERS)}

    if misfit := describe_misfit(others(resized), others(net.state_dict())):
        raise MisfitError(misfit)
    return resized


def compare_classes(file: Checkpoint, classes: int, data: ImageData) -> str:
    """Return why the classifier of a checkpoint does not fit the classes of the data; empty if it may fit.

    Without class names in the checkpoint, only the numbers of classes are compared.
    """
    if not classes:
        return "the file has none"
    if classes != data.num_classes:
        return f"the file has {plural(classes, 'class', 'classes')}, the data have {data.num_classes}"
    names = file.about.class_names if file.about else ()
    pairs = zip(names, data.class_names, strict=False) if names else ()
    if other := next(((old, new) for old, new in pairs if old != new), None):
        return "the classes have other names, the first {} instead of {}".format(*map(abbreviated, other))
    return ""
