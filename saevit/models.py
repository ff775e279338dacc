"""From the text that names a model to its costs and its network. torch loads on demand."""

import copy
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard

from saevit.baselines import timm_models
from saevit.baselines.adapters import NUM_CLASSES, LibraryModel, read_library_model
from saevit.baselines.groups import name_model
from saevit.count.cost import count_network, count_peak
from saevit.count.model_costs import ModelCosts, count_traced, count_variant
from saevit.errors import MeasureError, OptionError, SaevitError, name_and_line
from saevit.machine import check_fits, free_memory
from saevit.variant import MIN_IMG_SIZE, PRESETS, VariantSpec, parse

if TYPE_CHECKING:
    from torch import nn

    from saevit.checkpoint import About
    from saevit.count.tracing import Count

SEED = 0
BYTES = 4  # fp32
IMG_SIZE = (224, 224)
LARGEST_IMG_SIZE = 2**14
GIVEN = "the network as given, neither folded nor re-parameterised"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def resolve_model(model: object) -> VariantSpec | str:
    """Return the variant that a text names, or the one text of another library's model.

    `resnet18` becomes `timm:resnet18`. timm is imported only for a name that is neither a variant's nor
    published, and birder never.

    Raises:
        SaevitError: the text names nothing (names the nearest), or a variant that cannot exist.
    """
    if not isinstance(model, str | VariantSpec):
        raise OptionError(
            f"an object of type {type(model).__name__} is not a model here: give a variant or a text such as "
            "saevit_tiny, resnet18 or module:factory"
        )
    if isinstance(model, VariantSpec):
        return model
    if model.partition(":")[0].strip() in PRESETS:
        return parse(model)
    return name_model(model, PRESETS)


def is_baseline(model: str | VariantSpec) -> bool:
    """Return whether this is the text of another library's model, with its prefix."""
    return isinstance(model, str) and read_library_model(model) is not None


def is_network(model: object) -> "TypeGuard[nn.Module]":
    """Return whether an object is a network; torch is not imported for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def count_model(
    model: "str | VariantSpec | nn.Module", img_size: tuple[int, int]
) -> "tuple[ModelCosts, dict[str, Count | Exception]]":
    """Return a model's costs for one image of (H, W), and the tracing counts that were needed for them.

    A variant is counted in closed form; for any other network the torch counter is the reference. A network
    of the caller is copied, in fp32 on the CPU; its images have as many channels as its first convolution.

    Raises:
        SaevitError: a text that names nothing, a size out of range, a model that cannot be built or run.
    """
    check_img_size(img_size)
    if is_network(model):
        network = copy.deepcopy(model).to("cpu").float().eval()
        return trace_network(type(model).__name__, GIVEN, network, img_size)
    named = resolve_model(model)
    if isinstance(named, VariantSpec):
        return count_variant(named, img_size), {}
    library = read_library_model(named)
    assert library
    adapter, name, num_classes = library
    network = adapter.build_for_inference(name, img_size, num_classes=num_classes)
    return trace_network(named, adapter.describe_source(num_classes), network, img_size)


def trace_network(
    name: str, statement: str, network: "nn.Module", img_size: tuple[int, int]
) -> "tuple[ModelCosts, dict[str, Count | Exception]]":
    """Count a network with the torch counter; `statement` describes the network.

    Raises:
        SaevitError: the network does not run on an image of this size.
    """
    from saevit.count.torch_counter import count_torch

    try:
        input_shape = (1, find_channels(network), *img_size)
        count = count_torch(network, input_shape)
        return count_traced(name, statement, network, input_shape, count), {"torch": count}
    except SaevitError:
        raise
    except Exception as error:  # any that the network raises at this size, or without data
        size = f"{img_size[0]} x {img_size[1]} px"
        raise MeasureError(f"{name} cannot be counted at {size}: {name_and_line(error)}") from error


def find_channels(network: "nn.Module") -> int:
    """Return the channels of the images that a network takes: those of its first convolution, or 3."""
    from torch import nn

    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return next((module.in_channels for module in convolutions), 3)


def check_img_size(img_size: tuple[int, int]) -> None:
    """Refuse a size that the four stages cannot halve, or that no memory holds."""
    for side in img_size:
        if not MIN_IMG_SIZE <= side <= LARGEST_IMG_SIZE:
            near = min(max(side, MIN_IMG_SIZE), LARGEST_IMG_SIZE)
            raise OptionError(
                f"img_size {img_size[0]}x{img_size[1]}: {side} px is out of range, nearest is {near}"
            )


def check_memory(model: VariantSpec | str, img_size: tuple[int, int], batch_size: int = 1) -> None:
    """Refuse a variant that by its exact count cannot fit, before any of it is built.

    Raises:
        MemoryLimitError: its weights and the images' activations need more than is free.
    """
    check_img_size(img_size)
    if spec := read_spec(model):  # the weights of a model of timm are bounded by its name
        check_fits(
            f"{spec} at {img_size[0]} x {img_size[1]} px, batch {batch_size},",
            BYTES * count_network(spec, img_size).params,
            BYTES * count_peak(spec, img_size),
            free=free_memory(),
            way_out="a smaller size or width",
            batch=batch_size,
        )


def read_spec(model: VariantSpec | str) -> VariantSpec | None:
    """Return a variant; None: it is a model of timm."""
    named = resolve_model(model)
    return named if isinstance(named, VariantSpec) else None


def read_timm_model(model: str) -> LibraryModel:
    """Read the text of a model of timm.

    Raises:
        OptionError: it is a model of another library.
    """
    library = read_library_model(model)
    if library is None or library.adapter.PREFIX != timm_models.PREFIX:
        raise OptionError(f"{model} cannot be used here: name a variant or a timm model")
    return library


def build_network(
    model: VariantSpec | str,
    img_size: tuple[int, int],
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    drop_path_rate: float | None = None,
    seed: int = SEED,
) -> "nn.Module":
    """Return a variant or `timm:NAME` in eval mode, in the defined form, its random weights fixed by `seed`.

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
    import torch

    from saevit.model.pyramid import build

    check_img_size(img_size)
    settings = {"num_classes": num_classes, "in_chans": in_chans, "drop_path_rate": drop_path_rate}
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    if spec := read_spec(model):
        return build(replace(spec, **given), seed=seed)
    library = read_timm_model(str(resolve_model(model)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm_models.build_trainable(
            library.name, img_size, **{"num_classes": library.num_classes, **given}
        )


def read_about(network: "nn.Module", model: VariantSpec | str, img_size: tuple[int, int]) -> "About":
    """Return the facts that a network itself holds, at the size (H, W) that it is used at."""
    from saevit.checkpoint import About
    from saevit.model.pyramid import SAEViT

    in_chans = find_channels(network)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    if isinstance(network, SAEViT):
        text = str(replace(network.spec, drop_path_rate=0.0))  # of training, not of the network
        num_classes, mean, std = network.spec.num_classes, IMAGENET_MEAN, IMAGENET_STD
    else:
        timm_model: Any = network  # any class of timm's
        config = timm_model.pretrained_cfg
        text, num_classes = drop_classes(resolve_model(model)), timm_model.num_classes
        mean, std = tuple(config["mean"]), tuple(config["std"])
    if len(mean) != in_chans:  # of colours, and the network takes other channels
        mean, std = ((sum(values) / len(values),) * in_chans for values in (mean, std))
    return About(
        model=text, num_classes=num_classes, img_size=img_size, mean=mean, std=std, in_chans=in_chans
    )


def drop_classes(model: VariantSpec | str) -> str:
    """Return the text of a model, that of another library's without its classes, which stand beside it."""
    library = read_library_model(model) if isinstance(model, str) else None
    return str(library._replace(num_classes=NUM_CLASSES)) if library else str(model)


def convert_for_inference(network: "nn.Module") -> "nn.Module":
    """Return a copy that computes the same faster: our folded form, timm's branches merged.

    Raises:
        SaevitError: it is in training mode, or timm cannot.
    """
    from saevit.model.fold import fold
    from saevit.model.pyramid import SAEViT

    return fold(network) if isinstance(network, SAEViT) else timm_models.merge_branches(network)
