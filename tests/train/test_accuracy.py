"""Evaluation of networks whose every output is known."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from saevit import models
from saevit.checkpoint import About, save_checkpoint
from saevit.count.cost import count_network, count_peak
from saevit.errors import MeasureError, MemoryLimitError, OptionError
from saevit.loading import LoadedNetwork, load_network
from saevit.machine import HELD, PASSING, SCRATCH
from saevit.models import build_network
from saevit.runs.statistics import calibration_error
from saevit.train import accuracy as module
from saevit.train.accuracy import EvalPlan, compute_throughputs, evaluate_network
from saevit.train.data_sources import open_data
from saevit.train.image_data import ImageData
from saevit.variant import parse

NAMES = tuple("abcdefg")
ABOUT = About(
    model="saevit_pico:classes=7",
    num_classes=7,
    img_size=(32, 32),
    mean=(0.0,) * 3,
    std=(1.0,) * 3,
    class_names=NAMES,
    data="greys",
)
PLAN = EvalPlan(batch_size=4, device="cpu", threads=1)


class Oracle(nn.Module):
    """Reads the class off the brightness of the image, and is `sure` of it."""

    def __init__(self, sure: float, off: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)  # torch has to see a weight
        self.sure, self.off = sure, off

    def forward(self, x: Tensor) -> Tensor:
        seen = (x.mean((1, 2, 3)) * 10).round().long()
        logits = torch.full((len(x), 7), math.log((1 - self.sure) / 6))
        logits[torch.arange(len(x)), (seen + self.off) % 7] = math.log(self.sure)
        return logits


@pytest.fixture
def greys(tmp_path: Path) -> ImageData:
    """Two images of each of seven classes; class i has brightness i / 10."""
    for i, name in enumerate(NAMES):
        (tmp_path / "data" / name).mkdir(parents=True)
        for n in range(2):
            Image.new("RGB", (40, 40), (round(25.5 * i),) * 3).save(tmp_path / "data" / name / f"{n}.png")
    return open_data(str(tmp_path / "data"), "all")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A checkpoint's place; its bytes alone matter here."""
    path = tmp_path / "best.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.fixture(autouse=True)
def no_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle is neither ours nor timm's."""
    real = module.convert_for_inference
    monkeypatch.setattr(
        module, "convert_for_inference", lambda net: net if isinstance(net, Oracle) else real(net)
    )


def trained(net: nn.Module) -> LoadedNetwork:
    return LoadedNetwork(model=net.eval(), about=ABOUT, is_random=False, sha256="9a129038")


def test_an_oracle_is_always_right(greys: ImageData, file: Path) -> None:
    found = evaluate_network(trained(Oracle(0.9)), greys, file, PLAN)
    assert (found.top1.hits, found.top1.total, found.images) == (14, 14, 14)
    assert found.top5 is not None
    assert found.top5.value == 1
    assert found.loss == pytest.approx(-math.log(0.9), rel=1e-5)
    assert found.calibration_error == pytest.approx(0.1, rel=1e-5)
    assert [(c.name, c.share.hits, c.share.total) for c in found.classes] == [(n, 2, 2) for n in NAMES]
    assert (found.checkpoint, found.sha256) == ("best.safetensors", "9a129038")


def test_one_that_is_always_wrong(greys: ImageData, file: Path) -> None:
    found = evaluate_network(trained(Oracle(0.9, off=1)), greys, file, PLAN)
    assert found.top1.value == 0
    assert found.loss == pytest.approx(-math.log(0.1 / 6), rel=1e-5)
    assert found.calibration_error == pytest.approx(calibration_error([0.9] * 14, [False] * 14), rel=1e-5)


def test_broken_images_count_nowhere(greys: ImageData, file: Path) -> None:
    folder = Path(greys.name)
    (folder / "a" / "0.png").write_bytes(b"broken")
    for n in range(2):
        (folder / "b" / f"{n}.png").write_bytes(b"broken")
    found = evaluate_network(trained(Oracle(0.9)), greys, file, PLAN)
    assert (found.top1.total, len(found.unreadable)) == (11, 3)
    assert "a/0.png is not a PNG" in found.unreadable[0]
    assert [c.name for c in found.classes] == ["a", *NAMES[2:]]
    for path in folder.rglob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(MeasureError, match=r"no image of .* could be read: "):
        evaluate_network(trained(Oracle(0.9)), greys, file, PLAN)


def test_workers_see_the_same(greys: ImageData, file: Path) -> None:
    (Path(greys.name) / "a" / "0.png").write_bytes(b"broken")
    plans = (PLAN, replace(PLAN, workers=1, batch_size=14))
    first, second = (evaluate_network(trained(Oracle(0.7)), greys, file, plan) for plan in plans)
    assert (first.top1, first.unreadable) == (second.top1, second.unreadable)
    assert first.loss == pytest.approx(second.loss)


def test_other_classes_are_refused(greys: ImageData, file: Path) -> None:
    net = trained(Oracle(0.9))
    fewer = replace(greys, class_names=NAMES[:6])
    with pytest.raises(OptionError, match=r"has 7 classes and .* 6: .*it was trained on greys"):
        evaluate_network(net, fewer, file, PLAN)
    swapped = replace(greys, class_names=("b", "a", *NAMES[2:]))
    with pytest.raises(OptionError, match=r"class 0 of saevit_pico:classes=7 is 'a' and of .* 'b'"):
        evaluate_network(net, swapped, file, PLAN)
    unnamed = replace(net, about=replace(ABOUT, class_names=()))
    assert evaluate_network(unnamed, swapped, file, PLAN).images == 14


def test_random_weights_measure_nothing(greys: ImageData, file: Path) -> None:
    with pytest.raises(OptionError, match="random weights"):
        evaluate_network(load_network("saevit_pico:classes=7", None), greys, file, PLAN)


def test_a_batch_that_memory_cannot_hold_is_refused(
    greys: ImageData, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, fitting = parse(ABOUT.model), 3
    weights, image = count_network(spec, ABOUT.img_size).params, count_peak(spec, ABOUT.img_size)
    free = SCRATCH + 4 * (HELD * weights + (fitting + 0.5) * PASSING * image)
    monkeypatch.setattr(models, "free_memory", lambda: free)
    net = trained(Oracle(0.9))
    assert evaluate_network(net, greys, file, replace(PLAN, batch_size=fitting)).images == 14
    with pytest.raises(MemoryLimitError, match=r"batch 4, needs .* nearest is --batch-size 3$"):
        evaluate_network(net, greys, file, PLAN)


def test_outputs_that_are_not_finite(greys: ImageData, file: Path) -> None:
    with pytest.raises(MeasureError, match="not finite"):
        evaluate_network(trained(Oracle(float("nan"))), greys, file, PLAN)


def test_few_classes_have_no_top5(tmp_path: Path, file: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32)).save(tmp_path / name / "0.png")
    net = build_network("saevit_pico:depths=1,classes=2", (32, 32))
    about = replace(ABOUT, model="saevit_pico:depths=1,classes=2", num_classes=2, class_names=())
    data = open_data(str(tmp_path), "all")
    found = evaluate_network(LoadedNetwork(model=net, about=about, is_random=False), data, file, PLAN)
    assert found.top5 is None
    assert found.conditions.folded


def test_it_runs_what_it_loads(tmp_path: Path) -> None:
    """Folded, in batches, and the same as the defined form in one."""
    pytest.importorskip("sklearn")
    model = "saevit_pico:dims=8-8-16-16,heads=1,depths=1,classes=10"
    net = build_network(model, (32, 32), seed=5)
    about = replace(ABOUT, model=model, num_classes=10, class_names=())
    path = tmp_path / "a.safetensors"
    save_checkpoint(net.state_dict(), about, path)
    data = open_data("digits", "validation")
    found = evaluate_network(load_network(None, path), data, path, replace(PLAN, batch_size=100))
    transform = module.eval_transform(about, data.crop_pct)
    with torch.inference_mode():
        logits = net(torch.stack([transform(data[i][0]) for i in range(len(data))]))
    labels = torch.tensor(data.labels)
    assert abs(found.top1.hits - int((logits.argmax(1) == labels).sum())) <= 1
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-4)


def test_rates_leave_out_the_first_and_the_short_batch() -> None:
    laps = [(4, 4.0, 8.0), (4, 1.0, 2.0), (4, 2.0, 4.0), (1, 1.0, 1.0)]
    assert compute_throughputs(laps) == ((4.0, 2.0), (2.0, 1.0))
    assert compute_throughputs(laps[:1]) == ((1.0,), (0.5,))
    assert compute_throughputs([(4, 4.0, 8.0), (1, 1.0, 1.0)]) == ((1.0,), (0.5,))
