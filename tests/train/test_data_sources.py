"""The digits of scikit-learn, and local data through timm's readers, without a network."""

import socket
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from saevit.errors import MissingPackageError, OptionError
from saevit.images import UnreadableImage
from saevit.train.data_sources import open_data
from saevit.train.image_data import Split
from saevit.train.loaders import EvalImages
from tests.train.test_class_folders import filled

SPLITS: tuple[Split, ...] = ("train", "validation", "all")


def test_digits_are_split_by_class_and_the_same_every_time() -> None:
    pytest.importorskip("sklearn")
    train, validation, everything = (open_data("digits", s) for s in ("train", "validation", "all"))
    assert (len(train), len(validation), len(everything)) == (1438, 359, 1797)
    assert train.class_names == tuple("0123456789")
    whole, out = Counter(everything.labels), Counter(validation.labels)
    assert all(out[c] == round(0.2 * whole[c]) for c in range(10))
    assert Counter(train.labels) + out == whole
    assert "a fixed 20 % of each class (359 images)" in train.statement
    again = open_data("digits", "validation")
    pairs = zip(validation, again, strict=False)
    assert all(a[0].tobytes() == b[0].tobytes() and a[1] == b[1] for a, b in list(pairs)[:50])
    image, _ = train[0]
    assert (image.mode, image.size) == ("RGB", (8, 8))
    shown = {data[i][0].tobytes() for data in (validation,) for i in range(len(data))}
    assert sum(train[i][0].tobytes() in shown for i in range(len(train))) < 10  # scans that are alike, if any


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'saevit\[train\]'"):
        open_data("digits", "train")


def test_other_data_have_fingerprints_too() -> None:
    pytest.importorskip("sklearn")
    found = {open_data("digits", split).fingerprint for split in SPLITS}
    assert len(found) == 3
    assert open_data("digits", "all").fingerprint in found


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection is a failure."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_torchvision_data_where_they_lie(tmp_path: Path) -> None:
    pytest.importorskip("torchvision", exc_type=RuntimeError)
    from torchvision.datasets import MNIST

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for stem, count in (("train", 4), ("t10k", 2)):
        header = (2051).to_bytes(4) + count.to_bytes(4) + (28).to_bytes(4) * 2
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(header + bytes(range(256))[:1] * (count * 784))
        labels = bytes(range(count))
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes((2049).to_bytes(4) + count.to_bytes(4) + labels)
    data = open_data("torch/mnist", "train", root=tmp_path)
    assert (len(data), list(data.labels), data.num_classes) == (4, [0, 1, 2, 3], len(MNIST.classes))
    image, label = data[3]
    assert (image.mode, image.size, label) == ("RGB", (28, 28), 3)
    assert len(open_data("torch/mnist", "validation", root=tmp_path)) == 2


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("source", "has_root", "message"),
    [
        ("torch/cifar10", False, "needs --data-dir"),
        ("torch/cifar10", True, "nothing is downloaded: Dataset not found"),
        ("torch/cifar11", True, "Unknown torchvision dataset cifar11"),
        ("tfds/mnist", True, "is a stream"),
        ("wds/x", True, "is a stream"),
        ("digits", True, "--data-dir is for torch/NAME and hfds/NAME"),
    ],
)
def test_what_readers_refuse(source: str, has_root: bool, message: str, tmp_path: Path) -> None:
    pytest.importorskip("torchvision", exc_type=RuntimeError)
    with pytest.raises(OptionError, match=message):
        open_data(source, "train", root=tmp_path if has_root else None)
    with pytest.raises(OptionError):
        open_data(source, "all", root=tmp_path)


@pytest.mark.usefixtures("no_network")
def test_hugging_face_data_where_they_lie(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    filled(tmp_path / "data" / "train", "ab", 2)
    filled(tmp_path / "data" / "validation", "ab", 1)
    (tmp_path / "data" / "train" / "a" / "0.png").write_bytes(b"broken")
    data = open_data(f"hfds/{tmp_path / 'data'}", "train", root=tmp_path / "cache")
    assert (data.class_names, Counter(data.labels)) == (("a", "b"), {0: 2, 1: 2})
    found = [EvalImages(data, lambda image: torch.zeros(1))[i] for i in range(4)]
    assert sum(isinstance(one, UnreadableImage) for one in found) == 1  # and no other in its place
    with pytest.raises(OptionError, match="nothing is downloaded"):
        open_data("hfds/imagenet-1k", "train", root=tmp_path / "cache")
