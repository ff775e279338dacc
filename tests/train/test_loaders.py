"""Images on their way to the network: random by (seed, epoch, index) alone."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from saevit.checkpoint import About
from saevit.train import loaders
from saevit.train.data_sources import open_data
from saevit.train.loaders import Sample, TrainImages, WorkersFailed, make_loader
from saevit.train.recipe import Recipe
from saevit.train.transforms import train_transform
from tests.train.tiny import squares

ABOUT = About(model="any", num_classes=3, img_size=(32, 40), mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> TrainImages:
    """Augmented squares."""
    data = open_data(str(squares(tmp_path_factory.mktemp("squares"))), "train")
    return TrainImages(data=data, transform=train_transform(ABOUT, Recipe()), seed=4)


def test_an_image_is_the_same_whatever_was_drawn_before(images: TrainImages) -> None:
    first, label = images[2, 7]  # type: ignore[misc]
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    images[0, 1]
    again, _ = images[2, 7]  # type: ignore[misc]
    assert first.shape == (3, 32, 40)
    assert label == images.data.labels[7]
    assert torch.equal(first, again)
    assert not torch.equal(first, images[3, 7][0])  # type: ignore[index]


def test_reading_leaves_the_generators_as_they_were(images: TrainImages) -> None:
    before = torch.get_rng_state()
    images[0, 0]
    assert torch.equal(before, torch.get_rng_state())


def test_a_loader_gives_each_plan_in_its_order(images: TrainImages) -> None:
    source = make_loader(images, workers=0, device=torch.device("cpu"))
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
    x, _ = TrainImages(data=data, transform=train_transform(ABOUT, Recipe()), seed=0)[0, 0]  # type: ignore[misc]
    assert x.isfinite().all()


@dataclass(frozen=True)
class Troubled:
    """Data whose reading of key 5 does something to its process."""

    trouble: Callable[[], object]

    def __getitem__(self, key: int) -> Sample:
        if key == 5:
            self.trouble()
        return torch.full((3, 4, 4), float(key)), key


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def fail() -> None:
    raise OSError(28, "No space left on device")


def leave() -> None:
    os._exit(3)


PLAN = [[i] for i in range(10)]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (die, "it ended with exit code -9"),
        (leave, "it ended with exit code 3"),
        (stop, "no batch within 1 s"),
        (fail, r"OSError: \[Errno 28\] No space left on device"),
    ],
)
def test_workers_in_trouble_are_one_line_and_none_is_left(
    trouble: Callable[[], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble is stop:  # nothing else may end so
        monkeypatch.setattr(loaders, "HANG", 1.0)
        monkeypatch.setattr(loaders, "POLL", 0.5)
    source = make_loader(Troubled(trouble), workers=2, device=torch.device("cpu"))
    seen: list[int] = []
    batches = source.batches(PLAN)
    with pytest.raises(WorkersFailed, match=rf"{said}.*: free memory.*--workers 0") as caught:
        seen.extend(labels.item() for _, labels, _ in batches)
    assert str(caught.value).isprintable()
    assert seen == list(range(len(seen)))
    assert len(seen) <= 5
    assert not multiprocessing.active_children()


def test_a_wish_to_stop_is_met_while_workers_hang() -> None:
    source = make_loader(Troubled(stop), workers=2, device=torch.device("cpu"))
    seen: list[int] = []
    for _, labels, _ in source.batches([[0], [5], [2]], lambda: bool(seen)):
        seen.append(labels.item())
    assert seen == [0]
    assert not multiprocessing.active_children()


def test_too_little_shared_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch says it; a worker inherits the change."""

    def full(*_: object) -> None:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left (28)")

    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", full)
    source = make_loader(Troubled(print), workers=1, device=torch.device("cpu"))
    with pytest.raises(WorkersFailed, match=r"unable to allocate shared memory.* increase the shared memory"):
        next(source.batches(PLAN))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_loader_serves_many_plans(workers: int) -> None:
    source = make_loader(Troubled(int), workers=workers, device=torch.device("cpu"))
    for count in (4, 0, 7, 1):
        plan = [[i, i + 10] for i in range(count)]
        with closing(source.batches(plan)) as batches:
            found = [next(batches) for _ in plan]
        assert [labels.tolist() for _, labels, _ in found] == plan
        assert [x[:, 0, 0, 0].tolist() for x, _, _ in found] == plan
