"""A variant or a model of timm with its weights, ready to be looked at."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from saevit.attention import inputs as images
from saevit.attention.capture import Recording, capture
from saevit.attention.facts import Photo
from saevit.attention.layer import Layer
from saevit.attention.timm_capture import Recording as TimmRecording
from saevit.attention.timm_capture import capture_timm
from saevit.baselines import timm_models
from saevit.checkpoint import Checkpoint
from saevit.count.peak import traced_peak
from saevit.errors import MeasureError, OptionError
from saevit.machine import check_fits, free_memory
from saevit.model.pyramid import SAEViT
from saevit.models import SEED, for_inference, weighted
from saevit.variant import VariantSpec

MIX_NOTE = (
    "sampling=mix weighs each channel apart: a pixel's weight is the mean over channels of |alpha| / m, m "
    "the pixels of the window, and |beta| more where it is the maximum, scaled to 1 in each window"
)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network with its weights, ready to be looked at."""

    model: nn.Module
    name: str
    weights: str
    is_random: bool
    img_size: tuple[int, int]
    in_chans: int
    normalisation: images.Normalisation
    notes: tuple[str, ...] = ()  # on which weights were taken

    @property
    def is_variant(self) -> bool:
        """Is it a SAEViT?"""
        return isinstance(self.model, SAEViT)

    def capture(self, *, normed: bool) -> "AbstractContextManager[Recording | TimmRecording]":
        """Record what a pass does."""
        if isinstance(self.model, SAEViT):
            return capture(self.model, inputs=True, normed=normed)
        return capture_timm(self.model)


def network(
    model: VariantSpec | str | None,
    img_size: tuple[int, int] | None,
    checkpoint: Checkpoint | None = None,
) -> Network:
    """Build a variant or `timm:NAME`, with a file's weights or random ones (seed 0).

    Args:
        model: None is the one that the checkpoint names.
        img_size: (H, W) that it will be given; None is what it was trained at.
        checkpoint: its weights; None leaves them random.

    Raises:
        SaevitError: it cannot be built, or the weights are another network's.
    """
    if isinstance(model, str) and not model.startswith(timm_models.PREFIX):
        raise OptionError(f"{model}: attention is shown of SAEViT variants and of timm:NAME")
    net = weighted(model, checkpoint, img_size)
    about = net.about
    if about.in_chans not in (1, 3):
        raise OptionError(f"in_chans={about.in_chans}: an image has 3 channels, or 1 if it is grey")
    found = Network(
        model=net.model if isinstance(net.model, SAEViT) else for_inference(net.model),
        name=about.model,
        weights=f"weights of {checkpoint.path.name}" if checkpoint else f"random weights, seed {SEED}",
        is_random=net.is_random,
        img_size=img_size or about.img_size,
        in_chans=about.in_chans,
        normalisation=images.Normalisation(mean=about.mean, std=about.std),
        notes=net.notes,
    )
    check_memory(found)
    return found


def check_memory(net: Network) -> None:
    """Refuse an image size at which a pass and what is recorded of it need more memory than is free."""
    height, width = net.img_size
    try:
        peak = traced_peak(
            net.model,
            (1, net.in_chans, height, width),
            recording=lambda model: replace(net, model=model).capture(normed=True),
        )
    except Exception:  # at this size it cannot run, or it looks at data: the pass itself will say so
        return
    what = f"attention of {net.name} at {height} x {width} px"
    check_fits(what, 0, peak.bytes, free=free_memory(), way_out="a smaller --img-size")


def passed(net: Network, photo: Photo, *, normed: bool) -> tuple[list[Layer], dict[int, Tensor], list[str]]:
    """Run one image; return all layers, the stages' inputs and remarks.

    Raises:
        MeasureError: the network cannot take it, or its values are not finite.
    """
    x = images.as_input(photo, net.normalisation, net.in_chans)
    try:
        with torch.no_grad(), net.capture(normed=normed) as recording:
            net.model(x)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise MeasureError(f"{net.name} cannot run on {x.shape[2]} x {x.shape[3]} px: {reason}") from error
    layers = recording.layers()
    if isinstance(recording, Recording):
        mixes = any(layer.sampling == "mix" for layer in layers)
        inputs = {stage: value[0] for stage, value in recording.inputs.items()}
        return layers, inputs, [MIX_NOTE] if mixes else []
    notes = [f"left out: {path} ({why})" for path, why in recording.left_out.items()]
    elsewhere = [layer.elsewhere for layer in layers if layer.elsewhere]
    if elsewhere:
        share = sum(elsewhere) / len(elsewhere)
        notes.append(
            f"attention to class tokens, {share * 100:.1f} % of a pixel's on average, is left out: "
            "the rest is scaled to 1"
        )
    if any(layer.sampling == "reduction" for layer in layers):
        notes.append("keys are regions of r x r pixels; a region's pixels share its attention evenly")
    return layers, {}, notes
