"""Compute class probabilities of an image and Grad-CAM maps of classes.

Grad-CAM (Selvaraju et al., arXiv 1610.02391) is the positive part of the weighted sum of the channels of a
map, where the weight of a channel is the mean gradient of a class's logit. The maps here are scaled to a sum
of one.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from saevit.attention.findings import ClassMap, Photo, Prediction
from saevit.attention.photo import make_input
from saevit.checkpoint import About
from saevit.count.cost import count_network
from saevit.errors import OptionError, nearest
from saevit.loading import LoadedNetwork
from saevit.machine import check_fits, free_memory
from saevit.model.pyramid import SAEViT
from saevit.text import abbreviated
from saevit.variant import STRIDES

BYTES = 4  # fp32
MOST = 5  # number of predictions that are returned


def predict_classes(net: LoadedNetwork, logits: Tensor) -> tuple[Prediction, ...]:
    """Return the most probable classes of an image; empty for random weights and without classes."""
    if net.is_random or logits.ndim != 2 or not 1 < logits.shape[1] == net.about.num_classes:
        return ()
    top = logits[0].float().softmax(0).topk(min(MOST, logits.shape[1]))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return tuple(Prediction(name=name_class(net.about, i), probability=value) for i, value in pairs)


def name_class(about: About, number: int) -> str:
    """Return the name of a class, or `class N` (from 0) if the weights have no class names."""
    return about.class_names[number] if about.class_names else f"class {number}"


def find_class(about: About, text: str) -> int:
    """Return the number (from 0) of a class that is given by its name or by its number.

    Raises:
        OptionError: the class does not exist; the message names the nearest one.
    """
    if text in about.class_names:
        return about.class_names.index(text)
    if text.isdecimal() and len(text) < 9 and int(text) < about.num_classes:
        return int(text)
    near = nearest(text, about.class_names) if about.class_names else f"choose 0 to {about.num_classes - 1}"
    raise OptionError(f"--class {abbreviated(text)} is not a class of {about.model}: {near}")


def map_classes(
    net: LoadedNetwork, photo: Photo, names: Sequence[str], stages: Collection[int] | None = None
) -> tuple[ClassMap, ...]:
    """Return the Grad-CAM maps of classes at the end of each chosen stage.

    Args:
        net: a SAEViT variant.
        photo: the image.
        names: names or numbers of classes; empty is the predicted class.
        stages: numbers of stages from 1; None is all.

    Raises:
        OptionError: the network is not a variant, or does not have the classes.
        MemoryLimitError: all activations, which gradients need, do not fit in memory.
    """
    about, network = net.about, net.model
    if not isinstance(network, SAEViT):
        raise OptionError(f"--view class shows SAEViT variants, not {about.model}: leave it out")
    if about.num_classes < 2:
        raise OptionError(f"--view class needs a network with classes, and {about.model} has none")
    numbers = [find_class(about, name) for name in names]
    cost = count_network(network.spec, about.img_size)
    kept = BYTES * (cost.activations + cost.elementwise)
    what = f"Grad-CAM of {about.model} at {about.img_size[0]} x {about.img_size[1]} px"
    check_fits(what, BYTES * cost.params, kept, free=free_memory(), way_out="a smaller --img-size")
    with torch.enable_grad():
        image = make_input(photo, about).requires_grad_()  # the weights may have no gradients
        last, features = network.forward_intermediates(image)
        logits = network.forward_head(last)[0]
    maps, shares = [], logits.detach().softmax(0).tolist()
    for number in dict.fromkeys(numbers or [int(logits.argmax())]):
        of = Prediction(name=name_class(about, number), probability=shares[number])
        gradients = torch.autograd.grad(logits[number], features, retain_graph=True)
        for stage, (A, gradient) in enumerate(zip(features, gradients, strict=True), 1):
            if stages is None or stage in stages:
                mass = weigh_channels(A.detach()[0], gradient[0]).numpy()
                maps.append(ClassMap(of=of, stage=stage, stride=(STRIDES[stage - 1],) * 2, mass=mass))
    return tuple(maps)


def weigh_channels(A: Tensor, gradient: Tensor) -> Tensor:
    """Return Grad-CAM (H, W) from a map and its gradient, both (C, H, W), scaled to a sum of one."""
    positive = (A * gradient.mean((1, 2), keepdim=True)).sum(0).relu()
    return positive / total if (total := positive.sum()) > 0 else positive
