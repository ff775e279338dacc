"""Images for the calibration of int8, and the top-1 of exported files compared with the network's."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from saevit.checkpoint import About
from saevit.errors import MeasureError
from saevit.export.exporter import FORMATS, Export, FileAccuracy
from saevit.export.formats import Runner
from saevit.export.int8 import Int8Images
from saevit.loading import LoadedNetwork
from saevit.machine import usable_cores
from saevit.measure.conditions import pin_threads
from saevit.measure.progress import NextStep, Tell
from saevit.models import convert_for_inference
from saevit.runs.accuracy_statistics import compare_hits
from saevit.runs.statistics import Share
from saevit.text import plural
from saevit.train.accuracy import EvalPlan, check_classes, choose_conditions, predict_all
from saevit.train.image_data import ImageData
from saevit.train.loaders import EvalImages
from saevit.train.transforms import eval_transform

CALIBRATION_IMAGES, COMPARED_IMAGES = 128, 8


class FileNetwork(nn.Module):
    """An exported file as a network. Batches are padded with zeros to the batch size of the file."""

    def __init__(self, run: Runner, batch: int | None) -> None:
        super().__init__()
        self.run, self.batch = run, batch

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (B, classes)."""
        size = self.batch or len(x)
        padding = x.new_zeros(-len(x) % size, *x.shape[1:])
        batches = torch.split(torch.cat([x, padding]), size)
        return torch.from_numpy(np.concatenate([self.run(batch) for batch in batches])[: len(x)])


def choose_calibration(about: About, train: ImageData, compared: ImageData) -> Int8Images:
    """Return training images that calibrate int8, and other images for the comparison of outputs.

    Raises:
        OptionError: the data have other classes than the network.
        MeasureError: no image can be read.
    """
    check_classes(about, train)
    images = pick_images(about, train, CALIBRATION_IMAGES)
    return Int8Images(
        source=f"{plural(len(images), 'image')} of {train.name} ({train.split})",
        images=torch.stack([*images.values()]),
        compared=pick_images(about, compared, COMPARED_IMAGES),
    )


def pick_images(about: About, data: ImageData, count: int) -> Mapping[str, Tensor]:
    """Return about `count` readable images at even distances in the data: name to transformed (C, H, W)."""
    images = EvalImages(data, eval_transform(about, data.crop_pct))
    chosen = dict.fromkeys(np.linspace(0, len(data) - 1, count).astype(int).tolist())
    samples = {f"{data.split} image {index}": images[index] for index in chosen}
    found = {name: sample[0] for name, sample in samples.items() if isinstance(sample, tuple)}
    if not found:
        raise MeasureError(f"no image of {data.name} could be read")
    return found


def evaluate_files(
    net: LoadedNetwork, export: Export, data: ImageData, on_progress: Tell = lambda step: None
) -> Export:
    """Return the export with the top-1 of each file and its difference from the top-1 of the network.

    Raises:
        OptionError: the data have other classes than the network.
        MeasureError: no image could be read, or outputs are not finite.
    """
    check_classes(net.about, data)
    conditions = choose_conditions(net, EvalPlan(img_size=export.img_size, device="cpu"))
    networks = {"torch": convert_for_inference(net.model)}
    for one in export.written:
        if one.format in FORMATS and (read := FORMATS[one.format].read):
            run = read(one.path)
            networks[one.format] = FileNetwork(run, export.batch).eval()
    hits: dict[str, list[bool]] = {}
    with pin_threads(usable_cores()), torch.inference_mode():
        for name, network in networks.items():

            def tell(step: NextStep, name: str = name) -> None:
                on_progress(replace(step, text=f"{step.text} with {name}"))

            hits[name] = predict_all(network, net.about, data, conditions, 0, tell).hits
    if not hits["torch"]:
        raise MeasureError(f"no image of {data.name} could be read")
    first = hits.pop("torch")
    return replace(
        export,
        evaluated_on=f"{data.name} ({data.split})",
        accuracies=tuple(
            FileAccuracy(
                format=name,
                top1=Share(hits=sum(each), total=len(each)),
                of_network=Share(hits=sum(first), total=len(first)),
                difference=compare_hits([each], [first]),
            )
            for name, each in hits.items()
        ),
    )
