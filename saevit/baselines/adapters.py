"""Other libraries' networks as MODEL texts, `PREFIX` and a name: one adapter for each library."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from saevit.baselines import birder_models, factories, timm_models
from saevit.errors import OptionError
from saevit.variant import KEYS, PRESETS, read_pairs

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

    def build_for_inference(
        self, name: str, img_size: tuple[int, int], *, num_classes: int = 1000
    ) -> "nn.Module":
        """Return the network in eval mode, with random weights."""

    def describe_source(self, num_classes: int = 1000) -> str:
        """Return one line on what these models are."""


NUM_CLASSES = 1000  # unless the text says otherwise
ADAPTERS: dict[str, Adapter] = {module.PREFIX: module for module in (timm_models, birder_models)}


class LibraryModel(NamedTuple):
    """A model of another library; as text `PREFIX` and its name, and `:classes=N` if these are not 1000.

    The adapter of `module:factory` has no prefix.
    """

    adapter: Adapter
    name: str
    num_classes: int = NUM_CLASSES

    def __str__(self) -> str:
        classes = "" if self.num_classes == NUM_CLASSES else f":classes={self.num_classes}"
        return f"{self.adapter.PREFIX}{self.name}{classes}"


def read_library_model(text: str) -> LibraryModel | None:
    """Read a text such as `timm:resnet18:classes=10` or `module:factory`; None: it is of no library.

    Raises:
        SaevitError: keys behind the name other than `classes`, or a number of classes that cannot be.
    """
    library, colon, rest = text.strip().partition(":")
    adapter = ADAPTERS.get(library + colon)
    if adapter is None:
        is_ours = library in PRESETS  # a key without its value
        return (
            LibraryModel(factories, text.strip())
            if factories.is_factory(text.strip()) and not is_ours
            else None
        )
    name, colon, keys = rest.partition(":")
    values = read_pairs(keys.split(",")) if colon else {}
    if others := values.keys() - {"classes"}:
        raise OptionError(
            f"{text}: {min(others)} is a key of SAEViT variants; other models take only classes"
        )
    classes = KEYS["classes"]
    number = classes.check(classes.read("classes", values["classes"])) if values else NUM_CLASSES
    return LibraryModel(adapter, name.strip(), number)


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
    if library := read_library_model(model):
        return str(library._replace(name=library.adapter.name_architecture(library.name)))
    return model
