"""Other libraries' networks as MODEL texts, `PREFIX` and a name: one adapter for each library."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from saevit.baselines import birder_models, timm_models

if TYPE_CHECKING:
    from torch import nn


class Adapter(Protocol):
    """What a module has to offer for a library's networks to be counted, timed and compared."""

    PREFIX: str
    EXAMPLES: tuple[str, str]  # a name and a glob

    def list_names(self) -> list[str]:
        """Return the names that a glob is matched with, sorted."""

    def check_model(self, name: str) -> None:
        """Refuse a name that the library does not know."""

    def name_architecture(self, name: str) -> str:
        """Return a name without what only chooses weights."""

    def build_for_inference(self, name: str, img_size: tuple[int, int]) -> "nn.Module":
        """Return the network in eval mode, with random weights and 1000 classes."""

    def describe_source(self) -> str:
        """Return one line on what these models are."""


ADAPTERS: dict[str, Adapter] = {module.PREFIX: module for module in (timm_models, birder_models)}


def split_prefix(model: str) -> tuple[Adapter, str] | None:
    """Return the adapter and the name of a text such as `timm:resnet18`; None: it is of no library."""
    library, colon, name = model.partition(":")
    adapter = ADAPTERS.get(library + colon)
    return (adapter, name) if adapter else None


def map_same_networks(models: Sequence[str]) -> dict[str, str]:
    """Return for every model the first of the list that is the same network, often itself.

    The same network is the same library's, of the same name, for any tag: its trainings differ in
    weights and accuracy, not in cost. A tag that chooses the architecture is part of the name. Any other
    text, a variant's or a published id that nobody builds, is the same as itself alone.
    """
    first: dict[str, str] = {}
    return {model: first.setdefault(name_network(model), model) for model in models}


def name_network(model: str) -> str:
    """Return the text of a network without what only chooses weights."""
    if library := split_prefix(model):
        adapter, name = library
        return adapter.PREFIX + adapter.name_architecture(name)
    return model
