"""From the text that names a network to the network with its weights: a variant, or a model of timm."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saevit.baselines import timm_models
from saevit.checkpoint import About, Checkpoint, MisfitError, fit_weights, read_checkpoint
from saevit.count.cost import count_network, count_peak
from saevit.errors import OptionError, SpecError
from saevit.machine import check_fits, free_memory
from saevit.model.fold import fold
from saevit.model.pyramid import SAEViT, build
from saevit.subjects import check_img_size
from saevit.variant import PRESETS, VariantSpec, parse

SEED = 0
BYTES = 4  # fp32
IMG_SIZE = (224, 224)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A network in eval mode, as it is trained, and what is known of its weights."""

    model: nn.Module
    about: About
    is_random: bool
    sha256: str = ""  # of the file that the weights were read from
    notes: tuple[str, ...] = ()  # on which weights were taken, and of what network the file says it is


def weighted(
    model: VariantSpec | str | None,
    checkpoint: Checkpoint | Path | None,
    img_size: tuple[int, int] | None = None,
) -> Weighted:
    """Build a network and give it a file's weights, or random ones (seed 0).

    Args:
        model: a variant, its text, or `timm:NAME`; None is what the checkpoint names.
        checkpoint: a file of weights, or what `read_checkpoint` read of it.
        img_size: (H, W) that a network of fixed size is built for; None is the checkpoint's, or 224 px.

    Raises:
        SaevitError: neither is given, nothing of that name can be built, or the weights are another's.
    """
    file = read_checkpoint(checkpoint) if isinstance(checkpoint, Path) else checkpoint
    named = model if model is not None else named_in(file)
    said = file.about if file else None
    size = img_size or (said.img_size if said else IMG_SIZE)
    if file is None:
        check_memory(named, size)
        net = build_network(named, size)
        return Weighted(model=net, about=about_of(net, named, size), is_random=True)
    same = said if said and said.model == str(named) else None
    classes, channels = (same.num_classes, same.in_chans) if same else (classes_in(file, named), None)
    net, note = trained(named, file, size, num_classes=classes, in_chans=channels)
    about = about_of(net, named, size)
    notes = [note] if note else []
    if said:
        if not same and about.model != said.model:
            notes.append(f"{file.label} is of {said.model}: its weights are used in {about.model}")
        about = replace(said, model=about.model, num_classes=about.num_classes, in_chans=about.in_chans)
    return Weighted(model=net, about=about, is_random=False, sha256=file.sha256, notes=tuple(notes))


def named_in(file: Checkpoint | None) -> str:
    """Return the network that a file says it is of.

    Raises:
        SaevitError: it says none, or one that there is not.
    """
    if file is None:
        raise OptionError("no network: name a variant such as saevit_tiny, or a --checkpoint")
    if not file.model:
        fits = f", such as {near}, which fits" if (near := fitting_preset(file)) else ""
        raise OptionError(f"{file.label} does not say which network it is of: name it too{fits}")
    try:
        if not spec_of(file.model):
            timm_models.check_name(file.model.removeprefix(timm_models.PREFIX))
    except (SpecError, OptionError) as error:
        raise OptionError(f"{file.label} names a network that there is not: {error}") from error
    return file.model


def trained(
    model: VariantSpec | str,
    file: Checkpoint,
    img_size: tuple[int, int],
    *,
    num_classes: int | None,
    in_chans: int | None,
) -> tuple[nn.Module, str]:
    """Return a network with a file's weights, and which they are where the file has several.

    Nothing is built before the file is known to hold weights of its names and shapes.

    Raises:
        SaevitError: the weights are another network's, or none of that name can be built.
    """
    built = partial(build_network, model, img_size, num_classes=num_classes, in_chans=in_chans)
    spec, tensors = spec_of(model), max(map(len, file.sets.values()))
    try:
        if spec and (blocks := sum(stage.depth for stage in spec.stages)) > tensors:
            raise MisfitError(f"{tensors} tensors, and {spec} has {blocks} blocks")
        weights, note = fit_weights(file, skeleton(built))
    except MisfitError as error:
        held = file.model or fitting_preset(file)
        reason = f"it holds {held}, not {model}" if held not in ("", str(model)) else str(error)
        raise OptionError(f"{file.label} is of another network: {reason}") from error
    check_memory(model, img_size)
    net = built()
    net.load_state_dict(weights, strict=False)  # counters of updates are left out
    return net, note


def check_memory(model: VariantSpec | str, img_size: tuple[int, int], batch_size: int = 1) -> None:
    """Refuse a variant that by its exact count cannot fit, before any of it is built.

    Raises:
        MemoryLimitError: its weights and the images' activations need more than is free.
    """
    check_img_size(img_size)
    spec = spec_of(model)
    if not spec:
        return  # its weights are bounded by its name
    check_fits(
        f"{spec} at {img_size[0]} x {img_size[1]} px, batch {batch_size},",
        BYTES * count_network(spec, img_size).params,
        BYTES * count_peak(spec, img_size),
        free=free_memory(),
        way_out="a smaller size or width",
        batch=batch_size,
    )


def skeleton(built: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Return names and shapes of a network's weights, without memory for them."""
    with torch.device("meta"):
        return built().state_dict()


def spec_of(model: VariantSpec | str) -> VariantSpec | None:
    """Return a variant; None: it is a model of timm."""
    if isinstance(model, VariantSpec):
        return model
    return None if model.startswith(timm_models.PREFIX) else parse(model)


def fitting_preset(file: Checkpoint) -> str:
    """Return the preset, with its number of classes, whose weights a file holds; nothing: there is none."""
    classes = rows_of("head.fc.weight", file) or 0
    for preset in PRESETS.values():
        spec = replace(preset, num_classes=classes)
        with contextlib.suppress(OptionError):
            fit_weights(file, skeleton(partial(build, spec)))
            return str(spec)
    return ""


def classes_in(file: Checkpoint, model: VariantSpec | str) -> int | None:
    """Return the number of classes that weights of a model of timm have; None: that is not known."""
    if spec_of(model):
        return None
    with torch.device("meta"):
        net: Any = build_network(model, IMG_SIZE)
    name = net.pretrained_cfg.get("classifier") or ""
    return rows_of(f"{name if isinstance(name, str) else name[0]}.weight", file)


def rows_of(weight: str, file: Checkpoint) -> int | None:
    """Return the length of a weight whose name ends so; None: there is none, or several differ."""
    every = (item for weights in file.sets.values() for item in weights.items())
    found = {len(value) for name, value in every if f".{name}".endswith(f".{weight}") and value.ndim}
    return found.pop() if len(found) == 1 else None


def build_network(
    model: VariantSpec | str,
    img_size: tuple[int, int],
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    drop_path_rate: float | None = None,
    seed: int = SEED,
) -> nn.Module:
    """Return a variant or `timm:NAME` in eval mode, as it is trained, its random weights fixed by `seed`.

    Args:
        model: a variant, its text, or `timm:NAME`.
        img_size: (H, W) that a network of fixed size is built for.
        num_classes: None is the variant's own; 1000 for timm.
        in_chans: None is the variant's own; 3 for timm.
        drop_path_rate: None is the network's own.
        seed: of the random weights; the global random state is left as it was.

    Raises:
        SaevitError: a text that names nothing, a size out of range, a network that cannot be built.
    """
    check_img_size(img_size)
    if isinstance(model, str) and model.startswith(timm_models.PREFIX):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return timm_models.trainable(
                model.removeprefix(timm_models.PREFIX),
                img_size,
                num_classes=timm_models.NUM_CLASSES if num_classes is None else num_classes,
                in_chans=3 if in_chans is None else in_chans,
                drop_path_rate=drop_path_rate,
            )
    spec = parse(model) if isinstance(model, str) else model
    spec = replace(
        spec,
        num_classes=spec.num_classes if num_classes is None else num_classes,
        in_chans=spec.in_chans if in_chans is None else in_chans,
        drop_path_rate=spec.drop_path_rate if drop_path_rate is None else drop_path_rate,
    )
    return build(spec, seed=seed)


def about_of(net: nn.Module, model: VariantSpec | str, img_size: tuple[int, int]) -> About:
    """Return what a network itself tells, at the size (H, W) that it is used at."""
    in_chans = first_channels(net)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    if isinstance(net, SAEViT):
        text = str(replace(net.spec, drop_path_rate=0.0))  # of training, not of the network
        num_classes, mean, std = net.spec.num_classes, IMAGENET_MEAN, IMAGENET_STD
    else:
        timm_model: Any = net  # any class of timm's
        config = timm_model.pretrained_cfg
        text, num_classes = str(model), timm_model.num_classes
        mean, std = tuple(config["mean"]), tuple(config["std"])
    if len(mean) != in_chans:  # of colours, and the network takes other channels
        mean, std = ((sum(values) / len(values),) * in_chans for values in (mean, std))
    return About(
        model=text, num_classes=num_classes, img_size=img_size, mean=mean, std=std, in_chans=in_chans
    )


def first_channels(net: nn.Module) -> int:
    """Return the channels of the images that a network takes."""
    return next(module.in_channels for module in net.modules() if isinstance(module, nn.Conv2d))


def for_inference(net: nn.Module) -> nn.Module:
    """Return a copy that computes the same faster: our folded form, timm's branches merged.

    Raises:
        SaevitError: it is in training mode, or timm cannot.
    """
    return fold(net) if isinstance(net, SAEViT) else timm_models.reparameterized(net)
