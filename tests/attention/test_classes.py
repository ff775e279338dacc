"""Grad-CAM against what is known in closed form, and the classes that are named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from saevit.attention.classes import find_class, map_classes, predict_classes
from saevit.attention.drawing import NAME, draw_scene
from saevit.attention.network import open_network
from saevit.attention.photo import fit_image, make_input
from saevit.errors import MemoryLimitError, OptionError
from saevit.loading import LoadedNetwork
from saevit.machine import SCRATCH
from saevit.variant import parse

SIZE = (64, 96)
PHOTO = fit_image(draw_scene(), SIZE, NAME)


@pytest.fixture(scope="module")
def net() -> LoadedNetwork:
    """A small network that is said to be trained, with names of its classes."""
    opened = open_network(parse("saevit_pico:dims=8-8-16-16,heads=1,depths=1,classes=5"), SIZE)
    torch.manual_seed(0)
    for parameter in opened.model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    names = ("ant", "bee", "cat", "dog", "eel")
    return replace(opened, is_random=False, about=replace(opened.about, class_names=names))


def test_at_the_last_stage_it_is_the_class_activation_map(net: LoadedNetwork) -> None:
    """With global pooling and one linear layer, the gradient of a logit is that layer's weight / pixels."""
    found = {one.of.name: one for one in map_classes(net, PHOTO, ["bee", "3"], stages=[4])}
    assert list(found) == ["bee", "dog"]
    with torch.no_grad():
        last = net.model.forward_features(make_input(PHOTO, net.about))[0]
        logits = net.model(make_input(PHOTO, net.about))[0]
    for number, name in ((1, "bee"), (3, "dog")):
        expected = torch.einsum("c,chw->hw", net.model.head.fc.weight[number].detach(), last).relu()
        np.testing.assert_allclose(found[name].mass, expected / expected.sum(), rtol=1e-3, atol=1e-5)
        assert found[name].of.probability == pytest.approx(float(logits.softmax(0)[number]), rel=1e-4)


def test_a_step_along_a_map_raises_the_logit(net: LoadedNetwork) -> None:
    """The channel weights are gradients: in stage 2, by finite differences of the mean of a channel."""
    with torch.no_grad():
        image = make_input(PHOTO, net.about)
        x = net.model.stem(image)
        for stage in net.model.stages[:2]:
            x = stage(x)
        step, weights = 1e-2, []
        for channel in range(x.shape[1]):
            logits = []
            for sign in (1, -1):
                moved = x.clone()
                moved[:, channel] += sign * step
                for stage in net.model.stages[2:]:
                    moved = stage(moved)
                logits.append(float(net.model.forward_head(moved)[0, 2]))
            weights.append((logits[0] - logits[1]) / (2 * step) / x[0, 0].numel())
        expected = (x[0] * torch.tensor(weights)[:, None, None]).sum(0).relu()
    (found,) = map_classes(net, PHOTO, ["cat"], stages=[2])
    np.testing.assert_allclose(found.mass, expected / expected.sum(), atol=2e-3)


def test_without_names_it_is_the_predicted_class(net: LoadedNetwork) -> None:
    maps = map_classes(net, PHOTO, [])
    with torch.no_grad():
        logits = net.model(make_input(PHOTO, net.about))
    first, *others = predict_classes(net, logits)
    assert {one.of.name for one in maps} == {first.name}
    assert [one.stage for one in maps] == [1, 2, 3, 4]
    assert [one.mass.shape for one in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert all(one.mass.min() >= 0 for one in maps)
    assert first.probability >= max(one.probability for one in others)
    assert sum(one.probability for one in (first, *others)) == pytest.approx(1)
    assert not any(parameter.grad is not None for parameter in net.model.parameters())
    assert predict_classes(replace(net, is_random=True), logits) == ()


def test_a_class_has_a_name_or_a_number(net: LoadedNetwork) -> None:
    assert find_class(net.about, "cat") == 2
    assert find_class(net.about, "4") == 4
    with pytest.raises(OptionError, match=r"--class cats is not a class of .*: did you mean cat"):
        find_class(net.about, "cats")
    with pytest.raises(OptionError, match=r"--class 5 is not a class of .*: choose 0 to 4"):
        find_class(replace(net.about, class_names=()), "5")


def test_activations_that_do_not_fit_are_refused(net: LoadedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saevit.attention.classes.free_memory", lambda: SCRATCH)
    with pytest.raises(MemoryLimitError, match=r"Grad-CAM of .* at 64 x 96 px needs"):
        map_classes(net, PHOTO, [])
