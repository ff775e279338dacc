"""The smallest trainings that have every part: coloured squares, and a network of one block a stage."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from saevit.train.loop import train_network
from saevit.train.preparation import prepare_run
from saevit.train.processes import Processes
from saevit.train.recipe import Recipe
from saevit.train.run_folder import claim_folder
from saevit.train.state import Epoch, TrainingRun, TrainingState

MODEL = "saevit_pico:width=0.25,depths=1"
COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}
SIDE = 36
QUICK = ("--img-size", "32", "--batch-size", "8")
RECIPE = Recipe(epochs=3, img_size=(32, 32), batch_size=8, drop_path_rate=0.1)  # all that is random is in it


def squares(folder: Path, *, train: int = 11, validation: int = 5, classes: int = 3) -> Path:
    """Write `train` and `validation` noisy squares of each colour as a folder with train/ and val/."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", validation)):
        for name, colour in list(COLOURS.items())[:classes]:
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(rng.normal(colour, 60, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


@dataclass
class Told:
    """Who remembers what a training told; it may ask for an end after some updates."""

    stop_after: int | None = None
    rows: list[Epoch] = field(default_factory=list)
    updates: int = 0

    def on_update(self, epoch: int, done: int, updates: int, images_per_s: float) -> None:
        self.updates += 1

    def on_epoch(self, row: Epoch) -> None:
        self.rows.append(row)

    def stopped(self) -> bool:
        return self.stop_after is not None and self.updates >= self.stop_after


def trained(
    run: TrainingRun,
    recipe: Recipe,
    output: Path,
    told: Told | None = None,
    *,
    state: TrainingState | None = None,
    workers: int = 0,
    device: str = "cpu",
) -> TrainingState:
    """Train in this process, from the start or from a state."""
    told = told or Told()
    alone = Processes(device=torch.device(device))
    job = prepare_run(run, recipe if state is None else state.recipe, alone)
    with claim_folder(output, resume=state is not None):
        if state is None:
            state = job.new_state("imagenet")
        return train_network(job, state, output, alone, told, workers=workers, is_stopped=told.stopped)


def figures(rows: Iterable[Epoch]) -> list[dict[str, object]]:
    """Return what does not depend on the clock."""
    timed = ("seconds", "images_per_s")
    return [{name: value for name, value in vars(row).items() if name not in timed} for row in rows]
