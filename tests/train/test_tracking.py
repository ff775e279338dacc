"""Trackers get each epoch once, also of a run that was stopped or killed and resumed."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from saevit.errors import MissingPackageError, OptionError
from saevit.train import tracking
from saevit.train.run_folder import LAST, load_state
from saevit.train.state import Epoch, TrainingRun
from saevit.train.tracking import check_trackers, list_metrics, remove_events
from tests.train.tiny import MODEL, RECIPE, Told, squares, trained

pytest.importorskip("accelerate")


class FakeTracker:
    """A tracker of accelerate that remembers its calls; `json` stands for its package."""

    calls: list[tuple[Any, ...]] = []  # noqa: RUF012 - shared on purpose
    fails = False

    def __init__(self, run_name: str, **arguments: Any) -> None:
        self.arguments = arguments

    def start(self) -> None:
        self.calls.append(("start", self.arguments))

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.calls.append(("settings", values))

    def log(self, values: dict[str, float], step: int) -> None:
        if self.fails:
            raise OSError("disk full\nand more")
        self.calls.append(("log", step, values))

    def finish(self) -> None:
        self.calls.append(("finish",))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingRun:
    """A run on coloured squares whose tracker is the fake one."""
    import accelerate.tracking

    FakeTracker.calls = []
    monkeypatch.setattr(accelerate.tracking, "FakeTracker", FakeTracker, raising=False)
    monkeypatch.setitem(tracking.TRACKERS, "json", "FakeTracker")
    return TrainingRun(model=MODEL, data=str(squares(tmp_path / "squares")), log=("json",))


def test_a_tracker_gets_the_settings_once_and_each_epoch_once(run: TrainingRun, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trained(run, RECIPE, folder, Told(stop_after=6))
    state = trained(run, RECIPE, folder, state=load_state(folder / LAST))
    kinds = [call[0] for call in FakeTracker.calls]
    assert kinds == ["start", "settings", "log", "finish", "start", "log", "log", "finish"]
    first, second = (call[1] for call in FakeTracker.calls if call[0] == "start")
    assert first == second  # the same log goes on
    settings = FakeTracker.calls[1][1]
    assert (settings["model"], settings["epochs"], settings["img_size"]) == (MODEL, 3, "32,32")
    assert all(isinstance(value, str | int | float) for value in settings.values())
    logged = {call[1]: call[2] for call in FakeTracker.calls if call[0] == "log"}
    assert list(logged) == [1, 2, 3]
    assert logged[3]["val/top1_ema"] == state.rows[2].val_top1
    assert logged[3]["val/top1_raw"] == state.rows[2].raw_top1
    assert logged[3]["train/loss"] == state.rows[2].train_loss


def test_a_tracker_that_fails_is_one_line_and_the_run_can_go_on(
    run: TrainingRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FakeTracker, "fails", True)
        with pytest.raises(OptionError, match=r"--log json failed: disk full$"):
            trained(run, RECIPE, tmp_path / "run")
    state = load_state(tmp_path / "run" / LAST)
    assert len(state.rows) == 1
    assert len(trained(run, RECIPE, tmp_path / "run", state=state).rows) == 3


def test_accuracies_name_their_weights() -> None:
    row = Epoch(
        epoch=1,
        lr=0.1,
        train_loss=1.0,
        val_loss=2.0,
        val_top1=50.0,
        val_top5=None,
        val_images=4,
        seconds=1.0,
        images_per_s=9.0,
        skipped=0,
        val_weights="raw",
    )
    assert list_metrics(row)["val/top1_raw"] == 50.0
    averaged = list_metrics(replace(row, val_weights="EMA", raw_top1=40.0))
    assert (averaged["val/top1_ema"], averaged["val/top1_raw"]) == (50.0, 40.0)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingPackageError, match=f"{name} is not installed: pip install {name}"):
            check_trackers((name,))
    with pytest.raises(OptionError, match="--log csv is not known: choose from tensorboard, wandb"):
        check_trackers(("csv",))


def test_tensorboard_shows_no_epoch_twice(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = TrainingRun(model=MODEL, data=str(squares(tmp_path / "squares")), log=("tensorboard",))
    folder = tmp_path / "run"
    trained(run, RECIPE, folder, Told(stop_after=6))
    kept = (folder / LAST).read_bytes()
    trained(run, RECIPE, folder, state=load_state(folder / LAST))
    (folder / LAST).write_bytes(kept)  # as if it was killed before the second epoch was written
    state = trained(run, RECIPE, folder, state=load_state(folder / LAST))
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("val/top1_ema")]
    assert [step for step, _ in found] == [1, 2, 3]
    assert [value for _, value in found] == pytest.approx([row.val_top1 for row in state.rows])


def test_a_new_run_removes_the_curves_of_an_earlier_one(tmp_path: Path) -> None:
    folder = tmp_path / "tensorboard"
    (folder / "123.4").mkdir(parents=True)
    for name in ("notes.txt", "events.out.tfevents.1", "123.4/events.out.tfevents.2"):
        (folder / name).write_text("old")
    remove_events(tmp_path)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["notes.txt"]
