"""timm's attention: outputs untouched, and the attention that the network uses, fused or not."""

import pytest
import timm
import torch
from torch import Tensor, nn

from saevit.attention.capture import capture, find_attention_modules
from saevit.attention.effective import Layer
from saevit.attention.numbers import compute_numbers
from saevit.attention.tokens import fit_grid
from saevit.errors import OptionError

MODELS = {  # model: keywords, maps of its stages
    "vit_tiny_patch16_224": ({"img_size": 64}, [(4, 4)]),
    "deit_tiny_distilled_patch16_224": ({"img_size": (64, 96)}, [(4, 6)]),
    "beit_base_patch16_224": ({"img_size": 64, "embed_dim": 48, "num_heads": 3, "depth": 2}, [(4, 4)]),
    "pvt_v2_b0": ({}, [(16, 24), (8, 12), (4, 6), (2, 3)]),
    "mobilevit_xxs": ({}, [(8, 12), (4, 6), (2, 4)]),
    "swin_tiny_patch4_window7_224": (
        {"img_size": 64, "window_size": 4, "embed_dim": 24},
        [(16, 16), (8, 8), (4, 4), (2, 2)],
    ),
}


def build(name: str) -> tuple[nn.Module, Tensor]:
    """A small network of a family, and an image."""
    torch.manual_seed(0)
    keywords, maps = MODELS[name]
    model = timm.create_model(name, **keywords).eval()
    for path, parameter in model.named_parameters():
        if "qkv.weight" in path or path.endswith((".q.weight", ".kv.weight")):
            parameter.data.normal_(0, 0.3)
    return model, torch.randn(1, 3, 64, 64 if maps[0][0] == maps[0][1] else 96)


def whole_map(layer: Layer) -> Tensor:
    """The whole of E, (heads, N, N)."""
    return layer.rows(torch.arange(layer.block.pixels))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_untouched_and_rows_sum_to_one(name: str, fused: bool) -> None:
    model, x = build(name)
    modules = {path: m for path, m in find_attention_modules(model).items() if hasattr(m, "fused_attn")}
    for module in modules.values():
        module.fused_attn = fused
    with torch.no_grad():
        plain = model(x)
        with capture(model) as recording:
            assert torch.equal(model(x), plain)
        assert torch.equal(model(x), plain)
    assert all(module.fused_attn is fused for module in modules.values())
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 0
    layers = recording.layers()
    assert [layer.block.path for layer in layers] == list(modules)
    assert list(dict.fromkeys((a.block.height, a.block.width) for a in layers)) == MODELS[name][1]
    for layer in layers:
        E = whole_map(layer)
        torch.testing.assert_close(E.sum(2), torch.ones(E.shape[:2]))
        torch.testing.assert_close(layer.received(), E.mean(1))
        mass = torch.rand(1, layer.block.pixels)
        torch.testing.assert_close(layer.carry(mass), mass @ E.mean(0))
        assert (layer.outside > 0) == name.startswith(("vit", "deit", "beit"))
        assert all(v.isfinite().all() or k in ("overlap", "drawn") for k, v in compute_numbers(layer).items())


@pytest.mark.parametrize("name", MODELS)
def test_fused_and_unfused_show_the_same(name: str) -> None:
    model, x = build(name)
    maps = []
    for fused in (True, False):
        for module in find_attention_modules(model).values():
            module.fused_attn = fused
        with torch.no_grad(), capture(model) as recording:
            model(x)
        maps.append(whole_map(recording.layers()[0]))  # rounding grows in later blocks
    torch.testing.assert_close(*maps, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "pvt_v2_b0"])
def test_attention_times_values_is_what_the_network_computes(name: str) -> None:
    model, x = build(name)
    path, module = list(find_attention_modules(model).items())[-1]
    seen: list[Tensor] = []
    module.proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    values: list[Tensor] = []
    linear = module.qkv if hasattr(module, "qkv") else module.kv
    linear.register_forward_hook(lambda _m, _a, out: values.append(out))
    with torch.no_grad(), capture(model) as recording:
        model(x)
    layer = next(a for a in recording.layers() if a.block.path == path)
    heads, prefix = len(layer.heads), seen[0].shape[1] - layer.block.pixels
    v = values[0][0].unflatten(1, (-1, heads, seen[0].shape[2] // heads))[:, -1]  # (tokens, heads, d)
    scores = recording.calls[path][0]
    assert scores is not None
    P = scores.softmax()[0]
    out = torch.einsum("hqk,khd->qhd", P, v).flatten(1)
    torch.testing.assert_close(out, seen[0][0], rtol=1e-4, atol=1e-5)
    pixels = P[:, prefix:, prefix:]
    torch.testing.assert_close(layer.scores.softmax()[0], pixels / pixels.sum(2, keepdim=True))


def test_swin_attends_inside_its_shifted_windows() -> None:
    model, x = build("swin_tiny_patch4_window7_224")
    with torch.no_grad(), capture(model) as recording:
        model(x)
    first, second = recording.layers()[:2]
    reached = first.rows(torch.tensor([0]))[0, 0].view(16, 16) > 0
    assert reached.nonzero().max() == 3
    assert reached.sum() == 16
    assert first.block.sparsity == pytest.approx(1 - 16 * 16**2 / 256**2)
    corner = second.rows(torch.tensor([0]))[0, 0].view(16, 16)
    assert corner[:2, :2].min() > 1e-6  # rolled by two, and masked from the other side
    assert float(corner[:2, :2].sum()) == pytest.approx(1, abs=1e-6)


def test_mobilevit_attends_to_every_second_pixel() -> None:
    model, x = build("mobilevit_xxs")
    with torch.no_grad(), capture(model) as recording:
        model(x)
    layer = recording.layers()[0]
    reached = layer.rows(torch.tensor([0]))[0, 0].view(8, 12) > 0
    assert reached[::2, ::2].all()
    assert reached.sum() == 24


def test_pvt_keys_are_regions() -> None:
    model, x = build("pvt_v2_b0")
    with torch.no_grad(), capture(model) as recording:
        model(x)
    layer = recording.layers()[0]
    assert (layer.block.rate, layer.block.tokens, layer.block.sampling) == (8, 6, "reduction")
    row = layer.rows(torch.tensor([37]))[0, 0].view(2, 8, 3, 8)
    assert torch.equal(row, row[:, :1, :, :1].expand_as(row))


def test_an_exception_leaves_no_hooks() -> None:
    model, _ = build("vit_tiny_patch16_224")
    with pytest.raises(AssertionError), torch.no_grad(), capture(model):
        model(torch.randn(1, 3, 60, 60))
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 0


@pytest.mark.parametrize("name", ["resnet18", "xcit_nano_12_p16_224"])
def test_networks_without_such_attention_are_refused(name: str) -> None:
    model = timm.create_model(name).eval()
    with torch.no_grad(), capture(model) as recording:
        model(torch.randn(1, 3, 64, 64))
    with pytest.raises(OptionError, match="attention of this model cannot be shown"):
        recording.layers()


def test_grids_have_the_shape_of_the_image() -> None:
    assert fit_grid(196, (224, 224)) == (14, 14)
    assert fit_grid(24, (64, 96)) == (4, 6)
    assert fit_grid(197, (224, 224)) is None
    assert fit_grid(49, (224, 224)) == (7, 7)
    assert fit_grid(0, (224, 224)) is None
