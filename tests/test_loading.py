"""Networks with the weights of a file: named by it, or fitted to the name that is given."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from saevit.checkpoint import About, read_checkpoint, save_checkpoint
from saevit.errors import OptionError
from saevit.loading import load_network
from saevit.model.fold import FoldedSAEViT
from saevit.model.pyramid import SAEViT
from saevit.models import build_network, convert_for_inference, read_about
from saevit.variant import parse

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
    with pytest.raises(OptionError, match="names no network"):
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
    with pytest.raises(OptionError, match=r"name the model too, such as saevit_nano:classes=7, which fits$"):
        load_network(None, bare)


def test_weights_in_a_network_that_differs_where_no_weight_does_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    net = build_network(TEXT, SIZE)
    save_checkpoint(net.state_dict(), read_about(net, TEXT, SIZE), path)
    (note,) = load_network(f"{TEXT},act=gelu", path).notes
    assert note.endswith(f"is of {net.spec}: its weights are used in {parse(f'{TEXT},act=gelu')}")
    for text in (TEXT, f"{TEXT},classes=1000", f"{TEXT},drop_path=0.1", None):
        assert load_network(text, path).notes == ()
