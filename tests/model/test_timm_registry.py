"""SAEViT as a model of timm: what timm's own tests ask of every model, and what its tools call."""

import re
from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

import saevit.model.timm_registry  # noqa: F401
from saevit.errors import OptionError
from saevit.loading import load_network
from saevit.model.fold import fold
from saevit.model.pyramid import SAEViT, build
from saevit.variant import PRESETS, parse
from saevit.weights import SHIPPED
from tests.model.networks import error, noise

SMALL = "saevit_pico:dims=16-24-32-40,heads=2,rates=8-4-2-1,ratios=2,depths=1-1-2-1,stem=16,attn_blocks=1"
presets = pytest.mark.parametrize("name", PRESETS)


def small(**settings: Any) -> Any:
    return timm.create_model("saevit", variant=SMALL, **settings)


@presets
def test_every_preset_is_listed_and_built(name: str) -> None:
    assert name in timm.list_models("saevit*")
    with torch.device("meta"):
        model = timm.create_model(name)
    assert isinstance(model, SAEViT)
    assert model.spec == replace(PRESETS[name], num_classes=226 if name == "saevit_pico" else 1000)


@pytest.mark.parametrize(("given", "found"), [(None, 0.2), (0.0, 0.0), (0.3, 0.3)])
def test_a_drop_path_rate_replaces_that_of_the_variant(given: float | None, found: float) -> None:
    model = timm.create_model("saevit", variant=f"{SMALL},drop_path=0.2", drop_path_rate=given)
    assert model.spec.drop_path_rate == found
    assert model.stages[3].blocks[-1].drop_path.drop_prob == pytest.approx(found)


@presets
def test_its_configuration_is_true(name: str) -> None:
    model = timm.create_model(name).eval()
    config, weights = model.default_cfg, model.state_dict()
    x = noise(1, *config["input_size"])
    with torch.no_grad():
        features = model.forward_features(x)
        assert features.shape == (1, model.num_features, *config["pool_size"])
        assert model(x).shape == (1, config["num_classes"])
        model.reset_classifier(0)
        pooled = model(x)
        assert pooled.shape == (1, model.num_features)
        assert torch.equal(model.forward_head(features, pre_logits=True), pooled)
        model.reset_classifier(0, "")
        assert model(x).shape == features.shape
        assert torch.allclose(model(x).mean((2, 3)), pooled, atol=1e-5)
    classes, side = (226, 128) if name == "saevit_pico" else (1000, 224)  # those of its weights
    assert weights[f"{config['classifier']}.weight"].shape == (classes, model.head_hidden_size)
    assert weights[f"{config['first_conv']}.weight"].shape[1] == 3
    data = timm.data.resolve_model_data_config(model)
    assert (data["input_size"], data["mean"][0]) == ((3, side, side), 0.485)


@pytest.mark.parametrize("size", [(64, 64), (50, 97)])
def test_backward_reaches_every_weight(size: tuple[int, int]) -> None:
    model = small(num_classes=42, drop_rate=0.1, drop_path_rate=0.1).train()
    torch.manual_seed(0)  # a dropped block has no gradient
    y = model(noise(8, 3, *size))
    y.mean().backward()
    assert y.shape == (8, 42)
    assert [n for n, w in model.named_parameters() if w.grad is None or not w.grad.isfinite().all()] == []


@pytest.mark.parametrize("kind", ["list", "dict", "hook", "getter"])
@pytest.mark.parametrize("indices", [None, (0, 2), (-1,)])
def test_features_only(kind: str, indices: tuple[int, ...] | None) -> None:
    chosen = {"out_indices": indices} if indices else {}
    features = small(features_only=True, feature_cls=kind, **chosen).eval()
    whole = small().eval()
    whole.load_state_dict(build(parse(SMALL)).state_dict())
    features.load_state_dict(
        {
            re.sub(r"^stages\.", r"stages_", n) if kind != "getter" else n: w
            for n, w in with_prefix(whole.state_dict(), features).items()
        },
        strict=False,
    )
    x = noise(2, 3, 96, 130)
    with torch.no_grad():
        found = features(x)
        _, expected = whole.forward_intermediates(x)
    maps = list(found.values()) if isinstance(found, dict) else found
    wanted = indices or (0, 1, 2, 3)
    assert features.feature_info.reduction() == [4 * 2 ** (i % 4) for i in wanted]
    assert features.feature_info.channels() == [m.shape[1] for m in maps]
    assert all(torch.equal(m, expected[i]) for m, i in zip(maps, wanted, strict=True))


def with_prefix(weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    prefix = "model." if any(name.startswith("model.") for name in model.state_dict()) else ""
    return {prefix + name: value for name, value in weights.items()}


def test_intermediates() -> None:
    model, x = build(parse(SMALL)), noise(2, 3, 64, 80)
    with torch.no_grad():
        last, found = model.forward_intermediates(x)
        assert torch.equal(last, model.forward_features(x))
        assert torch.equal(found[-1], last)
        two = model.forward_intermediates(x, 2, norm=True, intermediates_only=True)
        assert torch.equal(two[0], found[2])
        assert torch.equal(two[1], last)
        early, _ = model.forward_intermediates(x, [1], stop_early=True)
        assert torch.equal(early, found[1])
        for wrong in ([4], [-5], [], 5):
            with pytest.raises(OptionError, match="stages are 0 to 3"):
                model.forward_intermediates(x, wrong)
        with pytest.raises(OptionError, match="maps are NCHW"):
            model.forward_intermediates(x, output_fmt="NLC")


def test_stages_can_be_pruned() -> None:
    model, x = build(parse(SMALL)), noise(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.forward_intermediates(x, intermediates_only=True)[1]
        assert model.prune_intermediate_layers([0, 1]) == [0, 1]
        assert torch.equal(model(x), expected)
    assert model.num_features == model(x).shape[1] == 24
    assert not any(name.startswith(("stages.2", "head")) for name in model.state_dict())
    with pytest.raises(OptionError, match="give it all stages"):
        fold(model)


def test_the_classifier_can_be_replaced() -> None:
    model = small(num_classes=5, in_chans=1).eval()
    assert (model.spec.num_classes, model.spec.in_chans) == (5, 1)
    x = noise(2, 1, 64, 64)
    assert model(x).shape == (2, 5)
    model.double().reset_classifier(3)
    assert model.get_classifier().weight.dtype == torch.float64
    assert model.get_classifier().weight.std().item() == pytest.approx(0.02, rel=0.3)
    assert (model.num_classes, model.spec.num_classes, model(x.double()).shape) == (3, 3, (2, 3))
    assert error(fold(model)(x.double()), model(x.double())) < 1e-9
    with pytest.raises(OptionError, match="a map has no classes"):
        model.reset_classifier(3, "")
    with pytest.raises(OptionError, match="choose from 'avg', ''"):
        model.reset_classifier(3, "max")
    headless = small(num_classes=0, global_pool="")
    assert headless(noise(1, 3, 64, 64)).shape == (1, 40, 2, 2)
    with pytest.raises(OptionError, match="a head that pools"):
        fold(headless.eval())


def test_checkpointing_changes_memory_not_gradients() -> None:
    deep = SMALL.replace("depths=1-1-2-1", "depths=3")  # maps between blocks are kept
    plain, saving = (timm.create_model("saevit", variant=deep, drop_path_rate=0.5).train() for _ in range(2))
    saving.load_state_dict(plain.state_dict())
    saving.set_grad_checkpointing()
    x, kept = noise(4, 3, 64, 64), []
    for model in (plain, saving):
        torch.manual_seed(3)  # the same branches are dropped
        saved: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, to=saved: (to.append(t.numel()), t)[1], lambda t: t
        ):
            y = model(x)
        y.square().mean().backward()
        kept.append(sum(saved))
    for (name, expected), found in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-7, msg=name)
    assert kept[1] < kept[0] / 3
    saving.set_grad_checkpointing(False)
    assert not any(stage.grad_checkpointing for stage in saving.stages)


@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")
def test_compiled_whole() -> None:
    torch.compiler.reset()
    model, x = small().eval(), noise(2, 3, 64, 96)
    with torch.no_grad():
        assert error(torch.compile(model, backend="aot_eager", fullgraph=True)(x), model(x)) < 1e-5


def test_layers_in_order_of_depth() -> None:
    model = small()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1.0, weight_decay=0.05, layer_decay=0.5)
    rate = {id(w): group["lr_scale"] for group in optimizer.param_groups for w in group["params"]}
    decay = {id(w): group["weight_decay"] for group in optimizer.param_groups for w in group["params"]}
    named = dict(model.named_parameters())
    assert rate.keys() == {id(w) for w in named.values()}
    stem, first, last, head = (
        rate[id(named[n])]
        for n in (
            "stem.conv1.conv.weight",
            "stages.0.blocks.0.ffn.fc1.conv.weight",
            "stages.3.blocks.0.ffn.fc1.conv.weight",
            "head.fc.weight",
        )
    )
    assert stem < first < last < head == 1
    assert decay[id(named["stages.0.blocks.0.ffn.redistribute.gamma"])] == 0


def test_the_shipped_weights_are_those_of_saevit_pico() -> None:
    assert timm.list_models("saevit*", pretrained=True) == ["saevit_pico", "saevit_pico.icons"]
    net, expected = timm.create_model("saevit_pico", pretrained=True).eval(), load_network(None, SHIPPED)
    x = noise(2, *net.default_cfg["input_size"])
    with torch.no_grad():
        assert torch.equal(net(x), expected.model(x))
    assert net.default_cfg["input_size"][1:] == expected.about.img_size
    assert (net.default_cfg["mean"], net.default_cfg["std"]) == (expected.about.mean, expected.about.std)
    few = timm.create_model("saevit_pico", pretrained=True, num_classes=5, in_chans=1)
    assert few.get_classifier().out_features == 5
    last = "stages.3.blocks.0.ffn.fc1.conv.weight"
    assert torch.equal(few.state_dict()[last], net.state_dict()[last])


def test_what_cannot_be_had_is_said() -> None:
    with pytest.raises(RuntimeError, match="No pretrained weights exist for saevit_tiny"):
        timm.create_model("saevit_tiny", pretrained=True)
    with pytest.raises(ValueError, match="did you mean"):
        timm.create_model("saevit", variant="saevit_tny")
    wide = timm.create_model("saevit", variant="saevit_pico:width=1.5")
    assert wide.spec == parse("saevit_pico:width=1.5")
