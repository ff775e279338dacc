"""From the text that names a model to its exact costs: a variant in closed form, others by tracing."""

from typing import TYPE_CHECKING

from saevit.baselines.adapters import Adapter, split
from saevit.count import receipt, subject
from saevit.count.subject import Counted
from saevit.errors import MeasureError, OptionError, SaevitError
from saevit.variant import MIN_IMG_SIZE, VariantSpec, parse

if TYPE_CHECKING:
    from saevit.count.tracing import Count

LARGEST_IMG_SIZE = 2**14


def is_baseline(model: str | VariantSpec) -> bool:
    """Is this the text of another library's model?"""
    return isinstance(model, str) and split(model) is not None


def counted_of(
    model: str | VariantSpec, img_size: tuple[int, int]
) -> "tuple[Counted, dict[str, Count | Exception]]":
    """Return a model's costs for one image of (H, W), and the tracing counts that were needed for them.

    Raises:
        SaevitError: a text that names nothing, a size out of range, a model that cannot be built or run.
    """
    check_img_size(img_size)
    if isinstance(model, VariantSpec):
        return subject.of_variant(model, img_size), {}
    if not isinstance(model, str):
        raise OptionError(
            f"an object of type {type(model).__name__} cannot be counted yet: give a variant (a SAEViT's is "
            "network.spec), its text, timm:NAME or birder:NAME"
        )
    if found := split(model):
        return of_baseline(*found, img_size)
    return subject.of_variant(parse(model), img_size), {}


def of_baseline(
    adapter: Adapter, name: str, img_size: tuple[int, int]
) -> "tuple[Counted, dict[str, Count | Exception]]":
    """Build and count another library's model; the torch counter is the reference."""
    from saevit.count.torch_counter import count_torch

    model = adapter.PREFIX + name
    network = adapter.build(name, img_size)
    try:
        count = count_torch(network, (1, 3, *img_size))
        return subject.of_network(model, adapter.statement(), network, img_size, count), {"torch": count}
    except SaevitError:
        raise
    except Exception as error:  # whatever the network raises at this size, or without data to look at
        size = f"{img_size[0]} x {img_size[1]} px"
        raise MeasureError(f"{model} cannot be counted at {size}: {receipt.short(error)}") from error


def check_img_size(img_size: tuple[int, int]) -> None:
    """Refuse a size that the four stages cannot halve, or that no memory holds."""
    for side in img_size:
        if not MIN_IMG_SIZE <= side <= LARGEST_IMG_SIZE:
            near = min(max(side, MIN_IMG_SIZE), LARGEST_IMG_SIZE)
            raise OptionError(
                f"img_size {img_size[0]},{img_size[1]}: {side} px is out of range, nearest is {near}"
            )
