"""From text to a counted model, and to a network with weights that name it."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from saevit import models
from saevit.baselines.adapters import ADAPTERS
from saevit.checkpoint import About, read_checkpoint, save_checkpoint
from saevit.count.cost import count_network
from saevit.errors import MeasureError, MemoryLimitError, OptionError
from saevit.machine import HELD, PASSING, SCRATCH
from saevit.model.fold import FoldedSAEViT
from saevit.model.pyramid import SAEViT
from saevit.models import (
    build_network,
    convert_for_inference,
    count_model,
    is_baseline,
    load_network,
    read_about,
    resolve_model,
)
from saevit.profiling import profile
from saevit.variant import PRESETS, VariantSpec, parse

TEXT = "saevit_pico:dims=16-24-32-40,heads=2,rates=8-4-2-1,ratios=2,depths=1"
SIZE = (64, 48)


@pytest.mark.parametrize("text", [TEXT, "timm:repvgg_a0", "timm:vit_tiny_patch16_224"])
def test_a_checkpoint_names_its_network(text: str, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    size = (64, 64)
    trained = build_network(text, size, num_classes=7, in_chans=1, drop_path_rate=0.2, seed=3)
    about = read_about(trained, text, size)
    save_checkpoint(trained.state_dict(), about, path)
    assert read_checkpoint(path).about == about
    found = load_network(None, path)
    assert (found.about, found.is_random) == (about, False)
    x = torch.randn(2, 1, *size)
    with torch.no_grad():
        assert torch.equal(found.model(x), trained(x))
        fast = convert_for_inference(found.model)
        assert torch.allclose(fast(x), trained(x), rtol=1e-4, atol=1e-5)
    assert isinstance(fast, FoldedSAEViT) == isinstance(trained, SAEViT)
    assert load_network(about.model, path).about == about


def test_what_is_said_of_weights_comes_back(tmp_path: Path) -> None:
    about = About(
        model="saevit_pico:classes=2",
        num_classes=2,
        img_size=(32, 64),
        mean=(0.1, 0.2, 0.3),
        std=(1.0, 0.5, 0.25),
        class_names=("a cat", "ein Hund ü"),
        data="folder x",
        notes=("epoch 3",),
    )
    path = tmp_path / "a.safetensors"
    shared = torch.arange(6.0).view(2, 3)
    save_checkpoint({"w": shared, "t": shared.T, "n": torch.tensor(3)}, about, path)
    assert read_checkpoint(path).about == about
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    with pytest.raises(OptionError, match=r"written as \.safetensors"):
        save_checkpoint({}, about, tmp_path / "a.pth")


def test_an_earlier_file_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = build_network(TEXT, SIZE)
    path = tmp_path / "a.safetensors"
    save_checkpoint(net.state_dict(), read_about(net, TEXT, SIZE), path)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OptionError, match="cannot be written: No space left on device"):
        save_checkpoint(net.state_dict(), read_about(net, "other", SIZE), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_names_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file(build_network(TEXT, SIZE).state_dict(), path)
    assert load_network(TEXT, path).about.model == str(build_network(TEXT, SIZE).spec)
    with pytest.raises(OptionError, match="does not say which network it is of"):
        load_network(None, path)
    with pytest.raises(OptionError, match="name a variant such as saevit_tiny, or a --checkpoint"):
        load_network(None, None)
    save_file({"w": torch.ones(1)}, path, metadata={"saevit": "{"})
    with pytest.raises(OptionError, match="has an invalid description of its weights: is not JSON"):
        load_network(None, path)
    with pytest.raises(OptionError, match="20 px is out of range"):
        build_network(TEXT, (20, 64))


def test_the_hash_is_of_the_bytes_that_were_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    first, second = (build_network(TEXT, SIZE, seed=seed) for seed in (1, 2))
    save_checkpoint(first.state_dict(), read_about(first, TEXT, SIZE), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    read = read_checkpoint(path)
    save_checkpoint(second.state_dict(), read_about(second, TEXT, SIZE), path)
    found = load_network(None, read)
    assert (found.sha256, read.sha256) == (digest, digest)
    assert all(torch.equal(w, first.state_dict()[n]) for n, w in found.model.state_dict().items())
    assert load_network(None, path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest() != digest


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("saevit_base:width=40", "is of another network: .* of another shape, first stem"),
        (
            "saevit_base:width=40,depth=200",
            "is of another network: .* tensors, and saevit_base.* has 3000 blocks",
        ),
        ("timm:vit_giant_patch14_224", "is of another network: .* missing, first cls_token"),
        (
            "timm:resnet_18",
            "that does not exist: timm:resnet_18 is not a timm model: did you mean",
        ),
        (
            "saevit_pica",
            "names a network that does not exist: 'saevit_pica' is not a model: did you mean saevit_pico",
        ),
        ("birder:edgevit_xs", "names a network that does not exist: birder:edgevit_xs cannot be used here"),
        (f"{TEXT},classes=9", "is of another network: 2 of another shape, first head.fc.weight"),
    ],
)
def test_nothing_is_built_before_names_and_shapes_fit(
    model: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = build_network(TEXT, SIZE)
    about = replace(read_about(net, TEXT, SIZE), model=model, num_classes=9)
    save_checkpoint(net.state_dict(), about, tmp_path / "a.safetensors")
    real = torch.nn.Parameter.__new__

    def on_meta(cls: type[torch.nn.Parameter], data: torch.Tensor, requires_grad: bool = True) -> object:
        assert data.device.type == "meta"
        return real(cls, data, requires_grad)

    monkeypatch.setattr(torch.nn.Parameter, "__new__", on_meta)
    with pytest.raises(OptionError, match=message) as caught:
        load_network(None, tmp_path / "a.safetensors")
    assert str(caught.value).startswith(f"--checkpoint {tmp_path / 'a.safetensors'} ")


def test_the_right_network_is_named(tmp_path: Path) -> None:
    named, bare = tmp_path / "a.safetensors", tmp_path / "bare.safetensors"
    net = build_network("saevit_nano:classes=7", SIZE)
    save_checkpoint(net.state_dict(), read_about(net, "saevit_nano:classes=7", SIZE), named)
    save_file({f"module.{name}": value for name, value in net.state_dict().items()}, bare)
    for path in (named, bare):
        for text in ("saevit_pico", "saevit_nano", "saevit_nano:width=2", "timm:resnet18"):
            with pytest.raises(OptionError) as caught:
                load_network(text, path)
            wanted = f"--checkpoint {path} is of another network: it holds saevit_nano:classes=7, not {text}"
            assert str(caught.value) == wanted
    with pytest.raises(OptionError, match=r"name it too, such as saevit_nano:classes=7, which fits$"):
        load_network(None, bare)


def test_weights_in_a_network_that_differs_where_no_weight_does_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    net = build_network(TEXT, SIZE)
    save_checkpoint(net.state_dict(), read_about(net, TEXT, SIZE), path)
    (note,) = load_network(f"{TEXT},act=gelu", path).notes
    assert note.endswith(f"is of {net.spec}: its weights are used in {parse(f'{TEXT},act=gelu')}")
    for text in (TEXT, f"{TEXT},classes=1000", f"{TEXT},drop_path=0.1", None):
        assert load_network(text, path).notes == ()


@pytest.mark.parametrize("batch", [1, 64])
def test_what_memory_cannot_hold_is_refused_before_it_is_built(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        MemoryLimitError, match=r"saevit_base:width=300 at 64 x 48 px, batch 1, needs .* GB are free"
    ):
        load_network("saevit_base:width=300", None, SIZE)
    free = SCRATCH + 4 * (HELD * count_network(parse(TEXT), SIZE).params + batch * PASSING * 10**6)
    monkeypatch.setattr(models, "free_memory", lambda: free)
    models.check_memory(TEXT, SIZE, batch)
    with pytest.raises(MemoryLimitError, match=r"nearest is (a smaller size or width|--batch-size \d+)$"):
        models.check_memory(TEXT, (512, 512), batch)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_mean_and_deviation_are_of_the_networks_channels(channels: int) -> None:
    for text in (f"{TEXT},in_chans={channels}", "timm:repvgg_a0"):
        about = read_about(build_network(text, SIZE, in_chans=channels), text, SIZE)
        assert about.mean == pytest.approx([0.449] * channels, abs=1e-3)
        assert len(about.std) == channels


def test_random_weights_follow_the_seed_alone() -> None:
    for text in (TEXT, "timm:repvgg_a0"):
        first = build_network(text, SIZE, seed=1).state_dict()
        torch.rand(3)
        again, other = (build_network(text, SIZE, seed=s).state_dict() for s in (1, 2))
        assert all(torch.equal(w, again[n]) for n, w in first.items())
        assert not all(torch.equal(w, other[n]) for n, w in first.items())


class LooksAtData(nn.Module):
    """A network that decides by the values of its input, which tensors without data do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if x.sum().item() < 1 else x


class NeedsMoreThan64(nn.Module):
    """A network that does not run on small images."""

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("kernel size can't be greater than the input\nand a second line")


@pytest.mark.parametrize("prefix", ADAPTERS)
@pytest.mark.parametrize("network", [LooksAtData(), NeedsMoreThan64()], ids=lambda n: type(n).__name__)
def test_what_cannot_be_counted_is_one_line(
    network: nn.Module, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ADAPTERS[prefix], "build_for_inference", lambda name, img_size, **_: network)
    monkeypatch.setattr(ADAPTERS[prefix], "describe_source", lambda num_classes: "made up")
    with pytest.raises(MeasureError, match=f"{prefix}odd cannot be counted at 64 x 48 px: ") as caught:
        count_model(f"{prefix}odd", (64, 48))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [nn.Conv2d, None, 5, b"saevit_tiny"])
def test_an_object_that_names_no_model_is_one_line(model: Any) -> None:
    with pytest.raises(
        OptionError, match=r"is not a model here: give a variant or a text such as saevit_tiny"
    ) as caught:
        profile(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("timm:resnet18", True),
        ("birder:edgevit_xs", True),
        ("edgevit_xs", False),
        ("saevit_tiny:width=2", False),
        (PRESETS["saevit_tiny"], False),
    ],
)
def test_baselines_are_other_libraries_models(model: str | VariantSpec, answer: bool) -> None:
    assert is_baseline(model) is answer


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        (" saevit_tiny:classes=10 ", parse("saevit_tiny:classes=10")),
        ("resnet18", "timm:resnet18"),
        ("resnet18.tv_in1k", "timm:resnet18.tv_in1k"),
        ("resnet18:classes=10", "timm:resnet18:classes=10"),
        ("timm:resnet18:classes=1000", "timm:resnet18"),
        ("birder:edgevit_xs", "birder:edgevit_xs"),
    ],
)
def test_a_text_resolves_to_one_form_and_needs_no_library(
    text: str, resolved: str | VariantSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in ADAPTERS.values():
        monkeypatch.delattr(adapter, "need")
    assert resolve_model(text) == resolved
    assert resolve_model(str(resolved)) == resolved


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("swin_tiny", "'swin_tiny' is not a model: did you mean swin_tiny_patch4_window7_224?"),
        ("resnet18:width=2", "width is a key of SAEViT variants"),
        ("saevit_claim_0.8g", "saevit_claim_0.8g has published figures, and no network here"),
        ("mobile", "'mobile' is not a model: did you mean mobile"),
    ],
)
def test_a_text_that_names_no_network_is_refused(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        resolve_model(text)


def test_a_network_is_counted_and_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Dropout(), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 1, 32, 48))
    found = profile(network.double(), img_size=(32, 48), counters=["torch", "thop"], by="module")
    assert (found.model, found.params) == ("Sequential", 36 + 2 * (4 * 30 * 46) + 2)
    assert found.macs == 4 * 9 * 30 * 46 + 2 * 4 * 30 * 46
    assert found.agreed
    assert network.training
    assert network[0].weight.dtype == torch.float64


def test_a_network_without_work_has_one_row() -> None:
    found = profile(nn.Identity(), img_size=(32, 32), counters=["torch"])
    assert [(row.path, row.params, row.macs) for row in found.rows] == [("", 0, 0)]
    assert "Identity has 0 parameters" in found._repr_html_()


def test_a_network_that_does_not_run_is_one_line() -> None:
    with pytest.raises(
        MeasureError, match="NeedsMoreThan64 cannot be counted at 64 x 64 px: RuntimeError"
    ) as caught:
        profile(NeedsMoreThan64(), img_size=(64, 64))
    assert "\n" not in str(caught.value)


def test_a_bare_name_of_timm_builds_its_network() -> None:
    network = load_network("resnet18:classes=3", None, (64, 64))
    assert (network.about.model, network.about.num_classes) == ("timm:resnet18", 3)
    assert network.model(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
