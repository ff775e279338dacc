"""Images on their way to the network: random by (seed, epoch, index) alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from saevit.checkpoint import About
from saevit.train.data import open_data
from saevit.train.loaders import Augmented, loader, train_transform
from saevit.train.recipe import Recipe
from tests.train.tiny import squares

ABOUT = About(model="any", num_classes=3, img_size=(32, 40), mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Augmented:
    """Augmented squares."""
    data = open_data(str(squares(tmp_path_factory.mktemp("squares"))), "train")
    return Augmented(data=data, transform=train_transform(ABOUT, Recipe()), seed=4)


def test_an_image_is_the_same_whatever_was_drawn_before(images: Augmented) -> None:
    first, label = images[2, 7]  # type: ignore[misc]
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    images[0, 1]
    again, _ = images[2, 7]  # type: ignore[misc]
    assert first.shape == (3, 32, 40)
    assert label == images.data.labels[7]
    assert torch.equal(first, again)
    assert not torch.equal(first, images[3, 7][0])  # type: ignore[index]


def test_reading_leaves_the_generators_as_they_were(images: Augmented) -> None:
    before = torch.get_rng_state()
    images[0, 0]
    assert torch.equal(before, torch.get_rng_state())


def test_a_loader_gives_each_plan_in_its_order(images: Augmented) -> None:
    source = loader(images, workers=0, device=torch.device("cpu"))
    for plan in ([[(0, 3), (0, 1)], [(0, 2)]], [[(1, 0)]]):
        found = [labels.tolist() for _, labels, _ in source.batches(plan)]
        assert found == [[images.data.labels[i] for _, i in batch] for batch in plan]


@pytest.mark.parametrize("in_chans", [1, 3])
def test_randaugment_of_any_strength_runs(in_chans: int) -> None:
    about = About(
        model="any",
        num_classes=3,
        img_size=(32, 32),
        mean=(0.5,) * in_chans,
        std=(0.5,) * in_chans,
        in_chans=in_chans,
    )
    for magnitude in (0, 5, 10):
        transform = train_transform(about, Recipe(aa=f"rand-m{magnitude}-n15-inc1"))
        for mode in ("L", "RGB"):
            x = transform(Image.new(mode, (50, 40), 77 if mode == "L" else (10, 200, 90)))
            assert x.shape == (in_chans, 32, 32)


def test_folder_names_do_not_matter(tmp_path: Path) -> None:
    data = open_data(str(squares(tmp_path / "a b")), "train")
    x, _ = Augmented(data=data, transform=train_transform(ABOUT, Recipe()), seed=0)[0, 0]  # type: ignore[misc]
    assert x.isfinite().all()
