"""Every other form of a fused network computes what it computes, of any variant at any size."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from saevit.model.compilable import compilable
from saevit.model.fuse import fuse
from saevit.model.plain import plain
from saevit.spec import VariantSpec
from tests.model.test_fuse import SMALL, error, noise, trained
from tests.strategies import img_sizes, specs

Form = Callable[[nn.Module], nn.Module]

every_form = pytest.mark.parametrize("form", [plain, compilable])


@every_form
@settings(max_examples=30, deadline=None)
@given(spec=specs(), img_size=img_sizes(100), seed=st.integers(0, 2**16))
def test_any_variant_at_any_size(form: Form, spec: VariantSpec, img_size: tuple[int, int], seed: int) -> None:
    fused = fuse(trained(spec, seed))
    x = noise(2, spec.in_chans, *img_size)
    with torch.inference_mode():
        assert error(form(fused)(x), fused(x)) < 1e-4


@every_form
def test_the_fused_network_and_the_input_are_untouched(form: Form) -> None:
    fused, x = fuse(trained(SMALL)), noise(2, 3, 50, 70)
    before, copied = {name: w.clone() for name, w in fused.state_dict().items()}, x.clone()
    with torch.inference_mode():
        form(fused)(x)
    assert torch.equal(x, copied)
    assert all(torch.equal(w, before[name]) for name, w in fused.state_dict().items())


@every_form
def test_other_networks_are_left_as_they_are(form: Form) -> None:
    model = nn.Conv2d(3, 4, 1)
    assert form(model) is model
