"""A training from its first epoch to its last, and what it writes."""

import copy
import csv
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3

from saevit.checkpoint import read_checkpoint
from saevit.errors import MeasureError, MemoryLimitError, OptionError, SaevitError
from saevit.loading import load_network
from saevit.train import loop
from saevit.train.data_sources import open_data
from saevit.train.engine import Engine, TrainingStopped, run_update
from saevit.train.loaders import EvalImages, collate
from saevit.train.preparation import prepare_run
from saevit.train.processes import Processes
from saevit.train.recipe import Recipe
from saevit.train.run_folder import LAST, LOG, load_state
from saevit.train.state import EpochProgress, TrainingRun, best_epoch
from saevit.train.transforms import eval_transform
from tests.train.tiny import MODEL, RECIPE, Told, figures, squares, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """A run on coloured squares."""
    return TrainingRun(model=MODEL, data=str(squares(tmp_path_factory.mktemp("squares"))))


def test_the_files_tell_what_happened(run: TrainingRun, tmp_path: Path) -> None:
    folder, told = tmp_path / "run", Told()
    state = trained(run, RECIPE, folder, told)
    assert [row.epoch for row in state.rows] == [1, 2, 3]
    assert tuple(told.rows) == state.rows
    assert load_state(folder / LAST).rows == state.rows
    with (folder / LOG).open(newline="") as file:
        log = list(csv.DictReader(file))
    assert [float(row["train_loss"]) for row in log] == [row.train_loss for row in state.rows]
    assert [float(row["val_top1"]) for row in log] == [row.val_top1 for row in state.rows]
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.safetensors",
        "config.json",
        "last.pt",
        "log.csv",
        "recipe.toml",
    ]


def test_the_best_weights_reach_what_the_log_says(run: TrainingRun, tmp_path: Path) -> None:
    recipe = replace(RECIPE, mixup=0, cutmix=0, aa="", reprob=0, lr=3e-3, model_ema_decay=0.5)
    state = trained(run, recipe, tmp_path / "run")
    best = best_epoch(state.rows)
    assert best is not None
    net = load_network(None, tmp_path / "run" / "best.safetensors")
    about = read_checkpoint(tmp_path / "run" / "best.safetensors").about
    assert about is not None
    assert about.class_names == ("blue", "green", "red")
    assert about.num_classes == 3
    assert f"after epoch {best.epoch} of 3" in about.notes[0]
    data = open_data(run.data, "validation")
    inputs = EvalImages(data, eval_transform(about, data.crop_pct))
    x, labels, _ = collate([inputs[i] for i in range(len(inputs))])
    with torch.no_grad():
        hits = (net.model(x).argmax(1) == labels).double().mean()
    assert best.val_top1 == pytest.approx(100 * float(hits))


def top1_of(net: torch.nn.Module, folder: Path, run: TrainingRun) -> float:
    """Measure the top-1 of a network on the validation images, as its checkpoint describes them."""
    about = read_checkpoint(folder / "best.safetensors").about
    assert about is not None
    data = open_data(run.data, "validation")
    inputs = EvalImages(data, eval_transform(about, data.crop_pct))
    x, labels, _ = collate([inputs[i] for i in range(len(inputs))])
    with torch.no_grad():
        return 100 * float((net.eval()(x).argmax(1) == labels).double().mean())


def test_the_average_and_the_raw_weights_are_validated(run: TrainingRun, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=6, mixup=0, cutmix=0, aa="", reprob=0, lr=5e-3, model_ema_decay=0.9)
    state = trained(run, recipe, tmp_path)
    last, tensors = state.rows[-1], load_state(tmp_path / LAST).tensors
    assert tensors is not None
    net = load_network(None, tmp_path / "best.safetensors").model
    for weights, top1 in ((tensors["model"], last.raw_top1), (tensors["ema"], last.val_top1)):
        net.load_state_dict(weights)
        assert top1_of(net, tmp_path, run) == pytest.approx(top1)
    assert last.val_weights == "EMA"
    assert last.raw_loss != last.val_loss
    with (tmp_path / LOG).open(newline="") as file:
        log = list(csv.DictReader(file))
    assert [float(row["raw_top1"]) for row in log] == [row.raw_top1 for row in state.rows]


def test_without_an_average_the_raw_weights_are_validated_once(run: TrainingRun, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1, model_ema_decay=0.0)
    (row,) = trained(run, recipe, tmp_path).rows
    assert (row.val_weights, row.raw_loss, row.raw_top1) == ("raw", None, None)


def test_it_learns(run: TrainingRun, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=6, mixup=0, cutmix=0, aa="", reprob=0, lr=5e-3, model_ema_decay=0)
    state = trained(run, recipe, tmp_path / "run")
    assert state.rows[-1].train_loss < 0.75 * state.rows[0].train_loss


@pytest.mark.parametrize("stop_after", [2, 5, 6])
def test_stopped_anywhere_it_goes_on_as_if_it_had_not(
    stop_after: int, run: TrainingRun, tmp_path: Path
) -> None:
    whole = trained(run, RECIPE, tmp_path / "whole")
    folder = tmp_path / "run"
    half = trained(run, RECIPE, folder, Told(stop_after=stop_after))
    assert len(half.rows) < 3
    again = trained(run, RECIPE, folder, state=load_state(folder / LAST))
    assert figures(again.rows) == figures(whole.rows)
    ours, theirs = (load_state(path / "last.pt").tensors for path in (folder, tmp_path / "whole"))
    assert ours is not None
    assert theirs is not None
    for kind in ("model", "ema"):
        assert all(torch.equal(ours[kind][name], theirs[kind][name]) for name in ours[kind])


@pytest.mark.parametrize(
    "other", [{"accumulate": 2}, {"seed": 1}, {"model_ema_decay": 0.0}, {"clip_grad": 0.01}], ids=str
)
def test_settings_change_the_training(other: dict[str, float], run: TrainingRun, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1)
    plain = trained(run, recipe, tmp_path / "plain")
    changed = trained(run, Recipe(**(vars(recipe) | other)), tmp_path / "changed")
    assert figures(plain.rows) != figures(changed.rows)


def test_accumulated_steps_are_one_larger_batch(tmp_path: Path) -> None:
    """Of a network without batch statistics, and without what draws anew for each batch."""
    data = str(squares(tmp_path / "squares"))
    calm = Recipe(epochs=2, img_size=(160, 160), mixup=0, cutmix=0, aa="", reprob=0)
    run = TrainingRun(model="timm:test_vit", data=data)
    one = trained(run, replace(calm, batch_size=12), tmp_path / "one")
    three = trained(run, replace(calm, batch_size=4, accumulate=3), tmp_path / "three")
    for a, b in zip(one.rows, three.rows, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=1e-5)
        assert a.val_loss == pytest.approx(b.val_loss, rel=1e-5)


def test_workers_change_nothing(run: TrainingRun, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=2)
    alone = trained(run, recipe, tmp_path / "alone")
    helped = trained(run, recipe, tmp_path / "helped", workers=2)
    assert figures(alone.rows) == figures(helped.rows)


def test_it_is_validated_when_due_and_at_the_end(run: TrainingRun, tmp_path: Path) -> None:
    state = trained(replace(run, val_every=2), RECIPE, tmp_path / "run")
    assert [row.val_top1 is None for row in state.rows] == [True, False, False]


def test_a_teacher_is_followed(run: TrainingRun, tmp_path: Path) -> None:
    trained(run, replace(RECIPE, epochs=1), tmp_path / "teacher")
    weights = str(tmp_path / "teacher" / "best.safetensors")
    taught = replace(run, teacher=MODEL, teacher_checkpoint=weights)
    recipe = replace(RECIPE, epochs=1, teacher_weight=0.5, drop_path_rate=0.0)
    assert figures(trained(taught, recipe, tmp_path / "a").rows) != figures(
        trained(run, recipe, tmp_path / "b").rows
    )


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_learns_what_fp32_does(amp: str, run: TrainingRun, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1)
    plain = trained(run, recipe, tmp_path / "fp32")
    mixed = trained(replace(run, amp=amp), recipe, tmp_path / amp)
    assert figures(mixed.rows) != figures(plain.rows)
    assert mixed.rows[0].train_loss == pytest.approx(plain.rows[0].train_loss, rel=0.05)


def test_a_loss_that_is_not_finite_stops_it_and_keeps_what_was(run: TrainingRun, tmp_path: Path) -> None:
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
    run = TrainingRun(model=MODEL, data=str(data))
    state = trained(run, replace(RECIPE, epochs=1), tmp_path / "run")
    assert state.rows[0].skipped == 2
    assert state.rows[0].val_images == 14


def test_an_epoch_smaller_than_a_batch_and_a_single_image_at_its_end(tmp_path: Path) -> None:
    run = TrainingRun(model=MODEL, data=str(squares(tmp_path / "squares", train=3)))
    small = trained(run, replace(RECIPE, epochs=1, batch_size=64), tmp_path / "small")
    ninth = trained(run, replace(RECIPE, epochs=1, batch_size=8), tmp_path / "ninth")
    assert len(small.rows) == len(ninth.rows) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amp": "fp8"}, "--amp fp8 is not known: choose from none, bf16, fp16"),
        ({"model": MODEL + ",classes=7"}, "has 7 classes and --data .* has 3: remove classes="),
        ({"teacher": MODEL}, "needs its weights: add --teacher-checkpoint FILE"),
        ({"model": "timm:resnt18"}, "not a timm model"),
        ({"model": "timm:xcit_nope"}, "not a timm model"),
    ],
)
def test_what_cannot_be_trained_is_one_line(change: dict[str, str], message: str, run: TrainingRun) -> None:
    with pytest.raises(OptionError, match=message):
        prepare_run(replace(run, **change), RECIPE, Processes(device=torch.device("cpu")))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (replace(RECIPE, opt="adamv"), "opt=adamv is not an optimizer of timm: did you mean adam"),
        (replace(RECIPE, aa="strong"), "aa=strong is not an augmentation of timm"),
    ],
)
def test_what_timm_does_not_know_is_one_line(recipe: Recipe, message: str, run: TrainingRun) -> None:
    with pytest.raises(OptionError, match=message):
        prepare_run(run, recipe, Processes(device=torch.device("cpu")))


def test_a_network_without_drop_path_is_trained_without(run: TrainingRun) -> None:
    alone, any_rate = Processes(device=torch.device("cpu")), replace(RECIPE, drop_path_rate=None)
    job = prepare_run(replace(run, model="timm:densenet121"), any_rate, alone)
    assert job.recipe.drop_path_rate == 0
    assert prepare_run(replace(run, model="timm:efficientnet_b0"), any_rate, alone).recipe.drop_path_rate == 0
    with pytest.raises(MeasureError, match="drop_path_rate"):
        prepare_run(replace(run, model="timm:densenet121"), RECIPE, alone)


def test_the_average_follows_as_in_timms_own_script(run: TrainingRun, tmp_path: Path) -> None:
    """timm's train.py: step, count the update, move the average by that count, then set the next rate."""
    alone = Processes(device=torch.device("cpu"))
    calm = {"mixup": 0.0, "cutmix": 0.0, "aa": "", "reprob": 0.0, "drop_path_rate": 0.0}
    recipe = replace(RECIPE, **calm, model_ema_decay=0.9, lr=1e-3, warmup_epochs=0.0)
    job = prepare_run(replace(run, channels_last=False), recipe, alone)
    ours, net = Engine(job, alone), copy.deepcopy(job.net)
    assert job.recipe.lr is not None
    optimizer = create_optimizer_v2(net, opt="adamw", lr=job.recipe.lr, weight_decay=recipe.weight_decay)
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=recipe.epochs,
        warmup_epochs=job.recipe.warmup_epochs,
        warmup_lr=recipe.warmup_lr,
        min_lr=recipe.min_lr,
        step_on_epochs=False,
        updates_per_epoch=job.updates,
    )
    average = ModelEmaV3(net, decay=0.9, use_warmup=True)
    x, labels = torch.randn(6, 8, 3, 32, 32), torch.arange(8) % 3
    batches = iter([(x[i], labels, ()) for i in range(len(x))])
    ours.net.train()
    net.train()
    for number in range(len(x)):
        plan = ((tuple(range(8)),),)
        assert run_update(ours, plan, batches, number=number) is not None
        F.cross_entropy(net(x[number]), labels, label_smoothing=recipe.smoothing).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip_grad)
        optimizer.step()
        optimizer.zero_grad()
        average.update(net, step=number + 1)
        schedule.step_update(num_updates=number + 1)
        for name, value in average.module.state_dict().items():
            torch.testing.assert_close(ours.ema.module.state_dict()[name], value, rtol=0, atol=3e-5)
    moved = [
        not torch.equal(a, b) for a, b in zip(average.module.parameters(), net.parameters(), strict=True)
    ]
    assert all(moved)


@pytest.mark.parametrize("after", [0, 1])
def test_an_update_without_all_its_images_changes_nothing(after: int, run: TrainingRun) -> None:
    """Interrupted between the two steps of an update, it is as if it had not begun."""
    alone = Processes(device=torch.device("cpu"))
    engine = Engine(prepare_run(run, replace(RECIPE, accumulate=2), alone), alone)
    engine.net.train()
    before = {name: value.clone() for name, value in engine.net.state_dict().items()}
    batches = iter([(torch.randn(8, 3, 32, 32), torch.arange(8) % 3, ())] * after)
    plan = (tuple(range(8)),), (tuple(range(8, 16)),)
    assert run_update(engine, plan, batches, number=0) is None
    for name, value in engine.net.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in engine.net.parameters())


def changed_squares(folder: Path, how: str) -> None:
    """Change what was trained on."""
    red = folder / "train" / "red"
    if how == "renamed":
        for split in ("train", "val"):
            (folder / split / "red").rename(folder / split / "azure")
    elif how == "class added":
        shutil.copytree(red, folder / "train" / "white")
    elif how == "image added":
        shutil.copy(red / "0.png", red / "new.png")
    elif how == "image removed":
        (folder / "val" / "red" / "0.png").unlink()
    else:
        (red / "0.png").write_bytes((red / "0.png").read_bytes() + b"0")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("renamed", r"\(train\) has changed .*: class red removed, class azure added; restore the data"),
        ("class added", r"\(train\) has changed .*: class white added; restore the data"),
        ("image added", r"\(train\) has changed .*: 1 image added to class red; restore the data"),
        ("image removed", r"\(validation\) has changed .*: 1 image removed from class red; restore the data"),
        (
            "another size",
            r"\(train\) has changed .*: files with other names, sizes or classes; restore the data",
        ),
    ],
)
def test_other_data_are_refused_on_the_way(how: str, said: str, tmp_path: Path) -> None:
    data = squares(tmp_path / "squares")
    state = trained(TrainingRun(model=MODEL, data=str(data)), RECIPE, tmp_path / "run", Told(stop_after=2))
    alone = Processes(device=torch.device("cpu"))
    found = load_state(tmp_path / "run" / "last.pt")
    assert prepare_run(state.run, state.recipe, alone).check_state(found) == found
    changed_squares(data, how)
    with pytest.raises(OptionError, match=said):
        prepare_run(state.run, state.recipe, alone).check_state(found)


def test_another_place_in_the_recipe_is_refused(run: TrainingRun, tmp_path: Path) -> None:
    trained(run, RECIPE, tmp_path / "run", Told(stop_after=2))
    job = prepare_run(run, RECIPE, Processes(device=torch.device("cpu")))
    state = load_state(tmp_path / "run" / "last.pt")
    for other, said in (
        (replace(state, processes=2), "the run began with 2 processes, not 1"),
        (
            replace(state, part=EpochProgress(updates=99)),
            "99 updates of the epoch are done, but an epoch has",
        ),
    ):
        with pytest.raises(OptionError, match=said):
            job.check_state(other)


def test_a_state_of_another_network_is_one_line(run: TrainingRun, tmp_path: Path) -> None:
    state = trained(run, RECIPE, tmp_path / "run", Told(stop_after=2))
    other = replace(run, model="saevit_pico:width=0.25,depths=2")
    with pytest.raises(
        OptionError, match=r"last.pt does not fit saevit_pico.*depths=2: .*Missing key"
    ) as caught:
        trained(other, RECIPE, tmp_path / "run", state=load_state(tmp_path / "run" / "last.pt"))
    assert str(caught.value).isprintable()
    assert state.is_begun


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 10**6, "img_size": (16384, 16384)}, r"needs? .* GB.* are free"),
        ({"aa": "rand-m9-n16-tweights"}, "is not an augmentation of timm"),
        ({"aa": "augmix-a0"}, "is not an augmentation of timm"),
    ],
)
def test_what_cannot_fit_is_refused_before_it_is_built(
    change: dict[str, Any], message: str, run: TrainingRun
) -> None:
    with pytest.raises(SaevitError, match=message):
        prepare_run(run, replace(RECIPE, **change), Processes(device=torch.device("cpu")))


def test_a_network_that_cannot_fit_is_refused_before_it_is_built(run: TrainingRun) -> None:
    with pytest.raises(MemoryLimitError, match=r"needs .* GB, .* GB are free"):
        prepare_run(replace(run, model="saevit_base:width=90"), RECIPE, Processes(device=torch.device("cpu")))


def test_too_little_memory_on_the_way_is_one_line(
    run: TrainingRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(loop, "run_update", full)
    with pytest.raises(
        TrainingStopped, match="the memory of cpu is too small for batch_size 8 at 32 x 32 px"
    ):
        trained(run, RECIPE, tmp_path / "run")


def test_validation_that_says_nothing_stops_it(tmp_path: Path) -> None:
    data = squares(tmp_path / "squares")
    for path in (data / "val").rglob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(TrainingStopped, match="no validation image could be read"):
        trained(TrainingRun(model=MODEL, data=str(data)), RECIPE, tmp_path / "run")


def test_a_fifo_among_the_images_is_left_out(tmp_path: Path) -> None:
    data = squares(tmp_path / "squares")
    os.mkfifo(data / "train" / "red" / "pipe.png")
    state = trained(TrainingRun(model=MODEL, data=str(data)), replace(RECIPE, epochs=1), tmp_path / "run")
    assert state.rows[0].skipped == 0


def test_few_updates_at_a_scaled_rate_are_warned_of(run: TrainingRun) -> None:
    alone = Processes(device=torch.device("cpu"))
    said, small_maps = prepare_run(run, RECIPE, alone).warnings
    assert "too small for attention" in small_maps
    assert "12 updates at a learning rate of 7.8e-06 (lr_base x images per update" in said
    lr, epochs = (float(re.search(rf"{name} (\S+?),? ", f"{said} ")[1]) for name in ("--lr", "--epochs"))  # type: ignore[index]
    few, _ = prepare_run(run, replace(RECIPE, lr=lr), alone).warnings  # the rate was chosen
    assert few.startswith("12 updates are few for a network with random weights")
    for recipe in (replace(RECIPE, lr_base=lr * 128, epochs=int(epochs)), replace(RECIPE, epochs=900)):
        assert prepare_run(run, recipe, alone).warnings == (small_maps,)


def test_one_class_is_nothing_to_learn(tmp_path: Path) -> None:
    run = TrainingRun(model=MODEL, data=str(squares(tmp_path, classes=1)))
    with pytest.raises(OptionError, match=r"one class|single class"):
        prepare_run(run, RECIPE, Processes(device=torch.device("cpu")))


def test_memory_is_saved_without_changing_the_losses(run: TrainingRun, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1, drop_path_rate=0.0)
    plain = trained(run, recipe, tmp_path / "plain")
    saved = trained(replace(run, grad_checkpointing=True), recipe, tmp_path / "saved")
    assert saved.rows[0].train_loss == pytest.approx(plain.rows[0].train_loss, rel=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler warns of things of its own
def test_compiled_it_learns_what_it_does_eagerly(run: TrainingRun, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1, drop_path_rate=0.0)
    plain = trained(run, recipe, tmp_path / "plain")
    compiled = trained(replace(run, compile=True), recipe, tmp_path / "compiled")
    assert compiled.rows[0].train_loss == pytest.approx(plain.rows[0].train_loss, rel=1e-3)
