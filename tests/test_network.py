"""A network by its text, with weights that say which network they are of."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from saevit.checkpoint import About, read_checkpoint, save_checkpoint
from saevit.errors import OptionError
from saevit.model.fold import FoldedSAEViT
from saevit.model.pyramid import SAEViT
from saevit.network import about_of, build_network, for_inference, weighted

TEXT = "saevit_pico:dims=16-24-32-40,heads=2,rates=8-4-2-1,ratios=2,depths=1"
SIZE = (64, 48)


@pytest.mark.parametrize("text", [TEXT, "timm:repvgg_a0", "timm:vit_tiny_patch16_224"])
def test_a_checkpoint_names_its_network(text: str, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    size = (64, 64)
    trained = build_network(text, size, num_classes=7, in_chans=1, drop_path_rate=0.2, seed=3)
    about = about_of(trained, text, size)
    save_checkpoint(trained.state_dict(), about, path)
    assert read_checkpoint(path).about == about
    found = weighted(None, path)
    assert (found.about, found.is_random) == (about, False)
    x = torch.randn(2, 1, *size)
    with torch.no_grad():
        assert torch.equal(found.model(x), trained(x))
        fast = for_inference(found.model)
        assert torch.allclose(fast(x), trained(x), rtol=1e-4, atol=1e-5)
    assert isinstance(fast, FoldedSAEViT) == isinstance(trained, SAEViT)
    assert weighted(about.model, path).about == about


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
    save_checkpoint(net.state_dict(), about_of(net, TEXT, SIZE), path)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OptionError, match="cannot be written: No space left on device"):
        save_checkpoint(net.state_dict(), about_of(net, "other", SIZE), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_names_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file(build_network(TEXT, SIZE).state_dict(), path)
    assert weighted(TEXT, path).about.model == str(build_network(TEXT, SIZE).spec)
    with pytest.raises(OptionError, match="does not say which network it is of"):
        weighted(None, path)
    with pytest.raises(OptionError, match="name a variant such as saevit_tiny, or a --checkpoint"):
        weighted(None, None)
    save_file({"w": torch.ones(1)}, path, metadata={"saevit": "{"})
    with pytest.raises(OptionError, match="says of its weights what cannot be: is not JSON"):
        weighted(None, path)
    with pytest.raises(OptionError, match="20 px is out of range"):
        build_network(TEXT, (20, 64))


def test_random_weights_follow_the_seed_alone() -> None:
    for text in (TEXT, "timm:repvgg_a0"):
        first = build_network(text, SIZE, seed=1).state_dict()
        torch.rand(3)
        again, other = (build_network(text, SIZE, seed=s).state_dict() for s in (1, 2))
        assert all(torch.equal(w, again[n]) for n, w in first.items())
        assert not all(torch.equal(w, other[n]) for n, w in first.items())
