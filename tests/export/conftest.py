"""Networks to export, whose weights look trained."""

from dataclasses import replace

from saevit.loading import LoadedNetwork
from saevit.models import build_network, read_about
from saevit.variant import VariantSpec
from tests.model.networks import SMALL, trained

SIZE = (72, 50)  # no rate divides its maps


def network_of(spec: VariantSpec = SMALL, img_size: tuple[int, int] = SIZE) -> LoadedNetwork:
    """A variant with weights as a checkpoint would give."""
    net = trained(spec, decades=0.5)
    about = replace(read_about(net, spec, img_size), class_names=("a", "b, c"), data="made up")
    return LoadedNetwork(model=net, about=about, is_random=False)


def timm_network(name: str, img_size: tuple[int, int]) -> LoadedNetwork:
    """A model of timm with random weights."""
    text = f"timm:{name}"
    net = build_network(text, img_size)
    return LoadedNetwork(model=net, about=read_about(net, text, img_size), is_random=True)
