"""A training from its first epoch to its last, and what it writes."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from saevit.checkpoint import read_checkpoint
from saevit.errors import MeasureError, OptionError
from saevit.network import weighted
from saevit.results.training import best_of
from saevit.train.data import Inputs, drop_unreadable, eval_transform, open_data
from saevit.train.engine import TrainingStopped
from saevit.train.folder import Folder
from saevit.train.job import prepare
from saevit.train.processes import Processes
from saevit.train.recipe import Recipe
from saevit.train.run import Run
from saevit.train.state import load_state
from tests.train.tiny import MODEL, RECIPE, Told, figures, squares, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on coloured squares."""
    return Run(model=MODEL, data=str(squares(tmp_path_factory.mktemp("squares"))))


def test_the_files_tell_what_happened(run: Run, tmp_path: Path) -> None:
    folder, told = Folder(tmp_path / "run"), Told()
    state = trained(run, RECIPE, folder.path, told)
    assert [row.epoch for row in state.rows] == [1, 2, 3]
    assert tuple(told.rows) == state.rows
    assert load_state(folder.last).rows == state.rows
    with folder.log.open(newline="") as file:
        log = list(csv.DictReader(file))
    assert [float(row["train_loss"]) for row in log] == [row.train_loss for row in state.rows]
    assert [float(row["val_top1"]) for row in log] == [row.val_top1 for row in state.rows]
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "best.safetensors",
        "last.pt",
        "log.csv",
        "recipe.toml",
    ]


def test_the_best_weights_reach_what_the_log_says(run: Run, tmp_path: Path) -> None:
    recipe = replace(RECIPE, mixup=0, cutmix=0, aa="", reprob=0, lr=3e-3, model_ema_decay=0.5)
    state = trained(run, recipe, tmp_path / "run")
    best = best_of(state.rows)
    assert best is not None
    net = weighted(None, tmp_path / "run" / "best.safetensors")
    about = read_checkpoint(tmp_path / "run" / "best.safetensors").about
    assert about is not None
    assert about.class_names == ("blue", "green", "red")
    assert about.num_classes == 3
    assert f"after epoch {best.epoch} of 3" in about.notes[0]
    data = open_data(run.data, "validation")
    inputs = Inputs(data, eval_transform(about, data.crop_pct))
    x, labels, _ = drop_unreadable([inputs[i] for i in range(len(inputs))])
    with torch.no_grad():
        hits = (net.model(x).argmax(1) == labels).double().mean()
    assert best.val_top1 == pytest.approx(100 * float(hits))


def test_it_learns(run: Run, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=6, mixup=0, cutmix=0, aa="", reprob=0, lr=5e-3, model_ema_decay=0)
    state = trained(run, recipe, tmp_path / "run")
    assert state.rows[-1].train_loss < 0.75 * state.rows[0].train_loss


@pytest.mark.parametrize("stop_after", [2, 5, 6])
def test_stopped_anywhere_it_goes_on_as_if_it_had_not(stop_after: int, run: Run, tmp_path: Path) -> None:
    whole = trained(run, RECIPE, tmp_path / "whole")
    folder = Folder(tmp_path / "run")
    half = trained(run, RECIPE, folder.path, Told(stop_after=stop_after))
    assert len(half.rows) < 3
    again = trained(run, RECIPE, folder.path, state=load_state(folder.last))
    assert figures(again.rows) == figures(whole.rows)
    ours, theirs = (load_state(path / "last.pt").tensors for path in (folder.path, tmp_path / "whole"))
    assert ours is not None
    assert theirs is not None
    for kind in ("model", "ema"):
        assert all(torch.equal(ours[kind][name], theirs[kind][name]) for name in ours[kind])


@pytest.mark.parametrize(
    "other", [{"accumulate": 2}, {"seed": 1}, {"model_ema_decay": 0.0}, {"clip_grad": 0.01}], ids=str
)
def test_settings_change_the_training(other: dict[str, float], run: Run, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1)
    plain = trained(run, recipe, tmp_path / "plain")
    changed = trained(run, Recipe(**(vars(recipe) | other)), tmp_path / "changed")
    assert figures(plain.rows) != figures(changed.rows)


def test_accumulated_steps_are_one_larger_batch(tmp_path: Path) -> None:
    """Of a network without batch statistics, and without what draws anew for each batch."""
    data = str(squares(tmp_path / "squares"))
    calm = Recipe(epochs=2, img_size=(160, 160), mixup=0, cutmix=0, aa="", reprob=0)
    run = Run(model="timm:test_vit", data=data)
    one = trained(run, replace(calm, batch_size=12), tmp_path / "one")
    three = trained(run, replace(calm, batch_size=4, accumulate=3), tmp_path / "three")
    for a, b in zip(one.rows, three.rows, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=1e-5)
        assert a.val_loss == pytest.approx(b.val_loss, rel=1e-5)


def test_workers_change_nothing(run: Run, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=2)
    alone = trained(run, recipe, tmp_path / "alone")
    helped = trained(run, recipe, tmp_path / "helped", workers=2)
    assert figures(alone.rows) == figures(helped.rows)


def test_it_is_validated_when_due_and_at_the_end(run: Run, tmp_path: Path) -> None:
    state = trained(replace(run, val_every=2), RECIPE, tmp_path / "run")
    assert [row.val_top1 is None for row in state.rows] == [True, False, False]


def test_a_teacher_is_followed(run: Run, tmp_path: Path) -> None:
    trained(run, replace(RECIPE, epochs=1), tmp_path / "teacher")
    weights = str(tmp_path / "teacher" / "best.safetensors")
    taught = replace(run, teacher=MODEL, teacher_checkpoint=weights)
    recipe = replace(RECIPE, epochs=1, teacher_weight=0.5, drop_path_rate=0.0)
    assert figures(trained(taught, recipe, tmp_path / "a").rows) != figures(
        trained(run, recipe, tmp_path / "b").rows
    )


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_learns_what_fp32_does(amp: str, run: Run, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1)
    plain = trained(run, recipe, tmp_path / "fp32")
    mixed = trained(replace(run, amp=amp), recipe, tmp_path / amp)
    assert figures(mixed.rows) != figures(plain.rows)
    assert mixed.rows[0].train_loss == pytest.approx(plain.rows[0].train_loss, rel=0.05)


def test_a_loss_that_is_not_finite_stops_it_and_keeps_what_was(run: Run, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=2, lr=1e6, warmup_epochs=0.0, clip_grad=0.0, opt="sgd")
    with pytest.raises(TrainingStopped, match=r"(try --lr|try a lower --lr)"):
        trained(run, recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "last.pt").exists()


def test_unreadable_images_are_dropped_and_counted(tmp_path: Path) -> None:
    data = squares(tmp_path / "squares")
    for name in ("0.png", "1.png"):
        broken = data / "train" / "red" / name
        broken.write_bytes(broken.read_bytes()[:200])
    (data / "val" / "red" / "4.png").write_bytes(b"no image")
    run = Run(model=MODEL, data=str(data))
    state = trained(run, replace(RECIPE, epochs=1), tmp_path / "run")
    assert state.rows[0].skipped == 2
    assert state.rows[0].val_images == 14


def test_an_epoch_smaller_than_a_batch_and_a_single_image_at_its_end(tmp_path: Path) -> None:
    run = Run(model=MODEL, data=str(squares(tmp_path / "squares", train=3)))
    small = trained(run, replace(RECIPE, epochs=1, batch_size=64), tmp_path / "small")
    ninth = trained(run, replace(RECIPE, epochs=1, batch_size=8), tmp_path / "ninth")
    assert len(small.rows) == len(ninth.rows) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amp": "fp8"}, "--amp fp8 is not known: choose from none, bf16, fp16"),
        ({"model": MODEL + ",classes=7"}, "has 7 classes and --data .* 3: leave out classes"),
        ({"teacher": MODEL}, "without weights teaches nothing: --teacher-checkpoint"),
        ({"model": "timm:resnt18"}, "not a timm model"),
        ({"model": "timm:xcit_nope"}, "not a timm model"),
    ],
)
def test_what_cannot_be_trained_is_one_line(change: dict[str, str], message: str, run: Run) -> None:
    with pytest.raises(OptionError, match=message):
        prepare(replace(run, **change), RECIPE, Processes(device=torch.device("cpu")))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (replace(RECIPE, opt="adamv"), "opt=adamv is not an optimizer of timm: did you mean adam"),
        (replace(RECIPE, aa="strong"), "aa=strong is no augmentation of timm"),
    ],
)
def test_what_timm_does_not_know_is_one_line(recipe: Recipe, message: str, run: Run) -> None:
    with pytest.raises(OptionError, match=message):
        prepare(run, recipe, Processes(device=torch.device("cpu")))


def test_a_network_without_drop_path_is_trained_without(run: Run) -> None:
    alone, any_rate = Processes(device=torch.device("cpu")), replace(RECIPE, drop_path_rate=None)
    job = prepare(replace(run, model="timm:densenet121"), any_rate, alone)
    assert job.recipe.drop_path_rate == 0
    assert prepare(replace(run, model="timm:efficientnet_b0"), any_rate, alone).recipe.drop_path_rate == 0
    with pytest.raises(MeasureError, match="drop_path_rate"):
        prepare(replace(run, model="timm:densenet121"), RECIPE, alone)


def test_one_class_is_nothing_to_learn(tmp_path: Path) -> None:
    run = Run(model=MODEL, data=str(squares(tmp_path, classes=1)))
    with pytest.raises(OptionError, match=r"one class|single class"):
        prepare(run, RECIPE, Processes(device=torch.device("cpu")))


def test_memory_is_saved_without_changing_the_losses(run: Run, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1, drop_path_rate=0.0)
    plain = trained(run, recipe, tmp_path / "plain")
    saved = trained(replace(run, grad_checkpointing=True), recipe, tmp_path / "saved")
    assert saved.rows[0].train_loss == pytest.approx(plain.rows[0].train_loss, rel=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler warns of things of its own
def test_compiled_it_learns_what_it_does_eagerly(run: Run, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1, drop_path_rate=0.0)
    plain = trained(run, recipe, tmp_path / "plain")
    compiled = trained(replace(run, compile=True), recipe, tmp_path / "compiled")
    assert compiled.rows[0].train_loss == pytest.approx(plain.rows[0].train_loss, rel=1e-3)
