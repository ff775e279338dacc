"""A network with its weights: read from a file and fitted to the network that a text names, or random."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saevit.baselines import timm_models
from saevit.baselines.adapters import NUM_CLASSES
from saevit.errors import OptionError, SpecError
from saevit.models import (
    IMG_SIZE,
    SEED,
    build_network,
    check_memory,
    drop_classes,
    read_about,
    read_spec,
    read_timm_model,
    resolve_model,
)
from saevit.variant import PRESETS, VariantSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from saevit.checkpoint import About, Checkpoint


@dataclass(frozen=True, kw_only=True)
class LoadedNetwork:
    """A network in eval mode, in the defined form, and what is known of its weights."""

    model: "nn.Module"
    about: "About"
    is_random: bool
    weights: str = f"random weights, seed {SEED}"  # or "weights of FILE"
    sha256: str = ""  # of the file that the weights were read from
    notes: tuple[str, ...] = ()  # on which weights were taken, and of what network the file says it is


def load_network(
    model: VariantSpec | str | None,
    checkpoint: "Checkpoint | Path | None",
    img_size: tuple[int, int] | None = None,
) -> LoadedNetwork:
    """Build a network and give it a file's weights, or random ones (seed 0).

    Args:
        model: a variant, its text, or `timm:NAME`; None is what the checkpoint names.
        checkpoint: a file of weights, or what `read_checkpoint` read of it.
        img_size: (H, W) that a network of fixed size is built for; None is the checkpoint's, or 224 px.

    Raises:
        SaevitError: neither is given, nothing of that name can be built, or the weights are another's.
    """
    from saevit.checkpoint import read_checkpoint

    file = read_checkpoint(checkpoint) if isinstance(checkpoint, Path) else checkpoint
    name = find_model_name(file) if model is None else resolve_model(model)
    said = file.about if file else None
    size = img_size or (said.img_size if said else IMG_SIZE)
    if file is None:
        check_memory(name, size)
        network = build_network(name, size)
        return LoadedNetwork(model=network, about=read_about(network, name, size), is_random=True)
    same = said if said and said.model == drop_classes(name) else None
    classes, channels = (same.num_classes, same.in_chans) if same else (find_classes(file, name), None)
    network, note = build_trained(name, file, size, num_classes=classes, in_chans=channels)
    about = read_about(network, name, size)
    notes = [note] if note else []
    if said:
        if not same and about.model != said.model:
            notes.append(f"{file.label} is of {said.model}: its weights are used in {about.model}")
        about = replace(said, model=about.model, num_classes=about.num_classes, in_chans=about.in_chans)
    return LoadedNetwork(
        model=network,
        about=about,
        is_random=False,
        weights=f"weights of {file.path.name}",
        sha256=file.sha256,
        notes=tuple(notes),
    )


def find_model_name(file: "Checkpoint | None") -> str:
    """Return the network that a file names.

    Raises:
        SaevitError: it names none, or one that does not exist.
    """
    if file is None:
        raise OptionError("no network: name a variant such as saevit_tiny, or a --checkpoint")
    if not file.model:
        fits = f", such as {near}, which fits" if (near := find_preset(file)) else ""
        raise OptionError(f"{file.label} names no network: name the model too{fits}")
    try:
        named = resolve_model(file.model)
        if isinstance(named, str):
            timm_models.check_model(read_timm_model(named).name)
    except (SpecError, OptionError) as error:
        raise OptionError(f"{file.label} names a network that does not exist: {error}") from error
    return file.model


def build_trained(
    model: VariantSpec | str,
    file: "Checkpoint",
    img_size: tuple[int, int],
    *,
    num_classes: int | None,
    in_chans: int | None,
) -> "tuple[nn.Module, str]":
    """Return a network with a file's weights, and which they are where the file has several.

    Nothing is built before the file is known to hold weights of its names and shapes.

    Raises:
        SaevitError: the weights are another network's, or none of that name can be built.
    """
    from saevit.checkpoint import MisfitError, fit_weights

    build = partial(build_network, model, img_size, num_classes=num_classes, in_chans=in_chans)
    spec, tensors = read_spec(model), max(map(len, file.sets.values()))
    try:
        if spec and (blocks := sum(stage.depth for stage in spec.stages)) > tensors:
            raise MisfitError(f"{tensors} tensors, and {spec} has {blocks} blocks")
        weights, note = fit_weights(file, list_weights(build))
    except MisfitError as error:
        held = file.model or find_preset(file)
        reason = f"it holds {held}, not {model}" if held not in ("", str(model)) else str(error)
        raise OptionError(f"{file.label} is of another network: {reason}") from error
    check_memory(model, img_size)
    network = build()
    network.load_state_dict(weights, strict=False)  # counters of updates are left out
    return network, note


def list_weights(build: "Callable[[], nn.Module]") -> "dict[str, Tensor]":
    """Return names and shapes of a network's weights, without memory for them."""
    import torch

    with torch.device("meta"):
        return build().state_dict()


def find_preset(file: "Checkpoint") -> str:
    """Return the preset, with its number of classes, whose weights a file holds; nothing: there is none."""
    from saevit.checkpoint import fit_weights
    from saevit.model.pyramid import build

    classes = find_length("head.fc.weight", file) or 0
    for preset in PRESETS.values():
        spec = replace(preset, num_classes=classes)
        with contextlib.suppress(OptionError):
            fit_weights(file, list_weights(partial(build, spec)))
            return str(spec)
    return ""


def find_classes(file: "Checkpoint", model: VariantSpec | str) -> int | None:
    """Return the number of classes that weights of a model of timm have.

    None: that is not known, or the text of the model has another number.
    """
    import torch

    named = resolve_model(model)
    if isinstance(named, VariantSpec) or read_timm_model(named).num_classes != NUM_CLASSES:
        return None
    with torch.device("meta"):
        network: Any = build_network(model, IMG_SIZE)
    name = network.pretrained_cfg.get("classifier") or ""
    return find_length(f"{name if isinstance(name, str) else name[0]}.weight", file)


def find_length(weight: str, file: "Checkpoint") -> int | None:
    """Return the length of a weight whose name ends so; None: there is none, or several differ."""
    every = (item for weights in file.sets.values() for item in weights.items())
    lengths = {len(value) for name, value in every if f".{name}".endswith(f".{weight}") and value.ndim}
    return lengths.pop() if len(lengths) == 1 else None
