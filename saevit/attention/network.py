"""Open a network with its weights, and run it on an image while its attention is recorded."""

from dataclasses import replace
from functools import partial

import torch
from torch import nn

from saevit.attention.capture import Recording, capture
from saevit.attention.effective import Layer
from saevit.attention.findings import Photo
from saevit.attention.photo import make_input
from saevit.checkpoint import About, Checkpoint
from saevit.count.peak import trace_peak
from saevit.errors import MeasureError, OptionError
from saevit.loading import LoadedNetwork, load_network
from saevit.machine import check_fits, free_memory
from saevit.model.pyramid import SAEViT
from saevit.models import convert_for_inference
from saevit.variant import VariantSpec

MIX_NOTE = (
    "sampling=mix weighs each channel separately: the weight of a pixel is the mean over channels of "
    "|alpha| / m (m: pixels of the window), plus |beta| for the maximum, scaled to 1 in each window"
)


def open_network(
    model: VariantSpec | str | None, img_size: tuple[int, int] | None, checkpoint: Checkpoint | None = None
) -> LoadedNetwork:
    """Build a network whose attention can be recorded: a variant in its defined form, or a timm model.

    Args:
        model: None is the model that the checkpoint names.
        img_size: (H, W) of the input; None is the size of the training.
        checkpoint: the weights; None is random weights (seed 0).

    Raises:
        SaevitError: the network cannot be built or does not fit in memory, or the weights do not fit it.
    """
    built = load_network(model, checkpoint, img_size)
    about = replace(built.about, img_size=img_size or built.about.img_size)
    if about.in_chans not in (1, 3):
        raise OptionError(f"in_chans={about.in_chans}: an image has 3 channels, or 1 if it is grey")
    net = built.model if isinstance(built.model, SAEViT) else convert_for_inference(built.model)
    check_recording_fits(net, about)
    return replace(built, model=net, about=about)


def check_recording_fits(net: nn.Module, about: About) -> None:
    """Raise MemoryLimitError if a pass and its recording need more memory than is free."""
    height, width = about.img_size
    shape = (1, about.in_chans, height, width)
    try:
        peak = trace_peak(net, shape, recording=partial(capture, features=True))
    except Exception:  # the pass itself raises the error, if the network cannot run at this size
        return
    what = f"attention of {about.model} at {height} x {width} px"
    check_fits(what, 0, peak.bytes, free=free_memory(), way_out="a smaller --img-size")


def record_attention(net: LoadedNetwork, photo: Photo, *, features: bool) -> Recording:
    """Run a network on one image, and return the recording; raise MeasureError if the pass fails."""
    x = make_input(photo, net.about)
    try:
        with torch.no_grad(), capture(net.model, features=features) as recording:
            recording.logits = net.model(x)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        size = f"{x.shape[2]} x {x.shape[3]} px"
        raise MeasureError(f"{net.about.model} cannot run on {size}: {reason}") from error
    return recording


def list_notes(layers: list[Layer]) -> tuple[str, ...]:
    """Return the notes that are needed to read the maps."""
    samplings = {layer.block.sampling for layer in layers}
    notes = [MIX_NOTE] if "mix" in samplings else []
    outside = [layer.outside for layer in layers if layer.outside]
    if outside:
        share = sum(outside) / len(outside) * 100
        notes.append(
            f"attention to class tokens ({share:.1f} % on average) is left out, and the rest is scaled to 1"
        )
    if "reduction" in samplings:
        notes.append("keys are regions of r x r pixels; the pixels of a region share its attention evenly")
    return tuple(notes)
