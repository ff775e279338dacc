"""The images of `saevit export`, for the calibration of int8 and the evaluation of exported files."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from saevit.errors import OptionError
from saevit.measure.progress import NextStep, Tell

if TYPE_CHECKING:
    from saevit.export.exporter import Export
    from saevit.export.int8 import Int8Images
    from saevit.loading import LoadedNetwork
    from saevit.train.image_data import ImageData, Split


@dataclass(frozen=True)
class ExportImages:
    """Opens labelled images to calibrate and evaluate the exported files of a network."""

    network: "LoadedNetwork"
    source: str | None
    img_size: tuple[int, int] | None
    on_progress: Tell

    def open_split(self, split: "Split") -> "ImageData":
        """Open the images of --data, or of the data that the weights were trained on."""
        from saevit.train.data_sources import open_data

        source = self.source or self.network.about.data
        if not source:
            raise OptionError("--dtype int8 needs images to calibrate with: add --data SOURCE")
        size = max(self.img_size or self.network.about.img_size)
        self.on_progress(NextStep(text=f"reading {source}"))
        return open_data(source, split, size=size, tell=self.on_progress)

    def calibrate(self) -> "Int8Images":
        """Return the images that calibrate int8. Random weights without --data are calibrated on noise."""
        from saevit.export.int8 import make_noise_calibration
        from saevit.train.file_accuracy import choose_calibration

        about = replace(self.network.about, img_size=self.img_size or self.network.about.img_size)
        if self.network.is_random and not self.source:
            return make_noise_calibration(about.in_chans, about.img_size)
        return choose_calibration(about, self.open_split("train"), self.open_split("validation"))

    def evaluate(self, result: "Export") -> "Export":
        """Return the result of an export with the top-1 of each file."""
        from saevit.train.file_accuracy import evaluate_files

        return evaluate_files(self.network, result, self.open_split("validation"), self.on_progress)
