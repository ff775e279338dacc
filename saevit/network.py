"""From the text that names a network to the network with its weights: a variant, or a model of timm."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saevit.baselines import timm_models
from saevit.checkpoint import About, load_checkpoint, read_about, read_weights
from saevit.errors import OptionError
from saevit.model.fold import fold
from saevit.model.pyramid import SAEViT, build
from saevit.parse import parse
from saevit.spec import VariantSpec
from saevit.subjects import check_img_size

SEED = 0
IMG_SIZE = (224, 224)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A network in eval mode, as it is trained, and what is known of its weights."""

    model: nn.Module
    about: About
    is_random: bool


def weighted(
    model: VariantSpec | str | None, checkpoint: Path | None, img_size: tuple[int, int] | None = None
) -> Weighted:
    """Build a network and give it a file's weights, or random ones (seed 0).

    Args:
        model: a variant, its text, or `timm:NAME`; None is what the checkpoint names.
        checkpoint: a file of weights.
        img_size: (H, W) that a network of fixed size is built for; None is the checkpoint's, or 224 px.

    Raises:
        SaevitError: neither is given, nothing of that name can be built, or the weights are another's.
    """
    said = read_about(checkpoint) if checkpoint else None
    if model is None and said is None:
        if checkpoint is None:
            raise OptionError("no network: name a variant such as saevit_tiny, or a --checkpoint")
        read_weights(checkpoint)  # what is no file of weights is told so first
        raise OptionError(f"--checkpoint {checkpoint} does not say which network it is of: name it too")
    named = model if model is not None else (said.model if said else "")
    size = img_size or (said.img_size if said else IMG_SIZE)
    same = said is not None and said.model == str(named)
    net = build_network(
        named,
        size,
        num_classes=said.num_classes if said and same else None,
        in_chans=said.in_chans if said and same else None,
    )
    if checkpoint:
        load_checkpoint(net, checkpoint)
    about = about_of(net, named, size)
    if said:
        about = replace(said, model=about.model, num_classes=about.num_classes, in_chans=about.in_chans)
    return Weighted(model=net, about=about, is_random=checkpoint is None)


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
    if isinstance(net, SAEViT):
        text = str(replace(net.spec, drop_path_rate=0.0))  # of training, not of the network
        num_classes, mean, std = net.spec.num_classes, IMAGENET_MEAN, IMAGENET_STD
    else:
        timm_model: Any = net  # any class of timm's
        config = timm_model.pretrained_cfg
        text, num_classes = str(model), timm_model.num_classes
        mean, std = tuple(config["mean"]), tuple(config["std"])
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
