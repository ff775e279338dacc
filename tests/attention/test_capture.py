"""Capture: the attention that the network uses, and a network that is left as it was."""

import pytest
import torch
from torch import Tensor, nn

from saevit.attention.capture import capture
from saevit.attention.look import Choice, choose_layers
from saevit.attention.tokens import compute_window_weights
from saevit.errors import OptionError
from saevit.model.pyramid import SAEViT, build
from saevit.model.saa import AverageSampler, MixSampler
from saevit.variant import parse

PICO = "saevit_pico:dims=24-24-48-48,heads=1-2-3-6,depths=1-1-2-2,rates=8-4-2-1,attn_blocks=1,classes=7"
TEXTS = (
    PICO,
    f"{PICO},sampling=mix,key_dim=5",
    PICO.replace("attn_blocks=1", "attn_blocks=2") + ",sampling=average",
    f"{PICO},sampling=stride,ffn=mlp,local=none",
    f"{PICO},attention=dense",
)


def hooks_of(model: nn.Module) -> int:
    """How many hooks there are."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [(64, 64), (70, 97)])
def test_outputs_are_those_without(text: str, size: tuple[int, int]) -> None:
    model, x = build(parse(text)), torch.randn(1, 3, *size)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        plain = model(x)
        with capture(model, features=True) as recording:
            seen = model(x)
        again = model(x)
    assert torch.equal(seen, plain)
    assert torch.equal(again, plain)
    attends = [(s, b) for s, stage in enumerate(model.spec.stages, 1) for b in range(1, stage.depth + 1)]
    places = [(s, b) for s, b in attends if model.spec.stages[s - 1].attends[b - 1]]
    assert [(layer.block.stage, layer.block.number) for layer in recording.layers()] == places
    assert hooks_of(model) == 0
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("text", TEXTS)
def test_the_attention_is_the_one_that_the_network_uses(text: str) -> None:
    model = build(parse(text))
    used: list[tuple[Tensor, Tensor]] = []
    for name, module in model.named_modules():
        if name.endswith(".attend"):
            module.register_forward_hook(lambda _m, args, out: used.append((args[2].clone(), out.clone())))
    with torch.no_grad(), capture(model) as recording:
        for x in torch.randn(2, 1, 3, 64, 97):  # a pass replaces the one before
            used.clear()
            model(x)
            for layer, (v, out) in zip(recording.layers(), used, strict=True):
                torch.testing.assert_close(layer.scores.softmax()[0] @ v[0], out[0], rtol=1e-5, atol=1e-5)


def test_the_window_weights_are_the_ones_that_the_network_uses() -> None:
    model, x = build(parse(PICO.replace("8-4-2-1", "4-4-3-2"))), torch.randn(1, 3, 70, 97)
    tokens: list[Tensor] = []
    for name, module in model.named_modules():
        if name.endswith(".attn.qkv"):
            module.register_forward_pre_hook(lambda _m, args: tokens.append(args[0]))
    with torch.no_grad(), capture(model, features=True) as recording:
        model(x)
    for layer, z in zip(recording.layers(), tokens, strict=True):
        assert layer.features is not None
        weighted = layer.features.flatten(1) * layer.weights
        sampled = torch.zeros(len(weighted), layer.block.tokens).index_add_(1, layer.column, weighted)
        torch.testing.assert_close(sampled, z[0].flatten(1), rtol=1e-5, atol=1e-5)


def of_gradient(sampler: MixSampler, x: Tensor) -> Tensor:
    """The mean over channels of |dz_c / dx_ci| for each pixel's own token, scaled to one in each window."""
    image = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(sampler(image).sum(), image)  # windows share no pixel
    found = torch.zeros(x.shape[2:])
    for i in range(0, x.shape[2], sampler.rate):
        for j in range(0, x.shape[3], sampler.rate):
            window = (slice(None), slice(i, i + sampler.rate), slice(j, j + sampler.rate))
            share = gradient[0].abs()[window].sum(0)
            found[window[1:]] = share / share.sum()
    return found.flatten()


@pytest.mark.parametrize("size", [(8, 12), (7, 5)])
def test_weights_of_mix_are_its_gradients_mean_over_channels(size: tuple[int, int]) -> None:
    sampler, x = MixSampler(6, 3), torch.randn(2, 6, *size)
    for sign in (1, -1):
        nn.init.uniform_(sampler.alpha, 0.1, 1)
        nn.init.uniform_(sampler.beta, 0.1, 1)  # of one sign, so that |alpha / m + beta| is the sum of both
        sampler.alpha.data *= sign
        sampler.beta.data *= sign
        weights = compute_window_weights(sampler, x)
        for image in (0, 1):
            expected = of_gradient(sampler, x[image : image + 1])
            torch.testing.assert_close(weights[image].flatten(), expected)


def test_weights_of_mix_are_those_of_the_mean_where_nothing_is_weighed() -> None:
    sampler, average, x = MixSampler(6, 3), AverageSampler(6, 3), torch.randn(2, 6, 8, 7)
    for alpha in (1.0, 0.0):
        nn.init.constant_(sampler.alpha, alpha)
        torch.testing.assert_close(compute_window_weights(sampler, x), compute_window_weights(average, x))
    nn.init.ones_(sampler.beta)
    one = compute_window_weights(sampler, x[:, :1].expand(-1, 6, -1, -1))
    assert set(one.unique().tolist()) == {0, 1}  # the maximum of all channels is one pixel


def test_training_mode_is_left_as_it_was() -> None:
    model = build(parse(PICO)).train()
    model.head.eval()
    modes = [module.training for module in model.modules()]
    with capture(model) as recording:
        model(torch.randn(1, 3, 64, 64))
    assert [module.training for module in model.modules()] == modes
    assert not any(layer.weights.requires_grad for layer in recording.layers())


def test_an_exception_leaves_no_hooks() -> None:
    model = build(parse(PICO))
    with pytest.raises(ZeroDivisionError), capture(model):
        raise ZeroDivisionError
    with pytest.raises(RuntimeError), torch.no_grad(), capture(model):
        model(torch.randn(1, 5, 64, 64))
    assert hooks_of(model) == 0


def test_a_user_hook_stays() -> None:
    model = build(parse(PICO))
    model.stages[0].register_forward_hook(lambda *_: None)
    with capture(model):
        pass
    assert hooks_of(model) == 1


def test_stages_blocks_and_heads_are_chosen() -> None:
    model = build(parse("saevit_pico:dims=24,depths=2,heads=1-3-6-8,attn_blocks=2"))
    with torch.no_grad(), capture(model) as recording:
        model(torch.randn(1, 3, 64, 64))
    heads = model.spec.num_heads
    chosen = choose_layers(recording.layers(), Choice(stages=[1, 3], blocks=[2], heads=[1, 5]))
    assert [(a.block.stage, a.block.number, a.heads) for a in chosen] == [
        (s, 2, tuple(h for h in (1, 5) if h <= heads[s - 1])) for s in (1, 3)
    ]
    (whole,) = choose_layers(recording.layers(), Choice(stages=[3], blocks=[2]))
    assert torch.equal(whole.select_heads((5,)).rows(torch.tensor([3])), whole.rows(torch.tensor([3]))[[4]])


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        ("saevit_pico:attention=none", {}, "this variant has no attention: set attention=saa"),
        ("saevit_pico:attn_blocks=1", {"stages": [5]}, "stage 5 has no attention: choose stage 1, 2, 3 or 4"),
        (
            "saevit_pico:depths=2,attn_blocks=1",
            {"stages": [2], "blocks": [1]},
            "block 1 has no attention: stage 2 has it in block 2",
        ),
        (
            "saevit_pico:dims=24,heads=1-2-3-4,attn_blocks=1",
            {"stages": [1], "heads": [2]},
            "head 2 does not exist: choose 1",
        ),
        (
            "saevit_pico:dims=24,heads=1-2-3-4,attn_blocks=1",
            {"heads": [9]},
            "head 9 does not exist: choose 1 to 4",
        ),
    ],
)
def test_what_is_not_there_is_refused(text: str, asked: dict[str, list[int]], message: str) -> None:
    model: SAEViT = build(parse(text))
    with torch.no_grad(), capture(model) as recording:
        model(torch.randn(1, 3, 64, 64))
    with pytest.raises(OptionError, match=message):
        choose_layers(recording.layers(), Choice(**asked))  # type: ignore[arg-type]
