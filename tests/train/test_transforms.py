"""From an image to the input of a network."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from saevit.checkpoint import About
from saevit.errors import OptionError
from saevit.train.transforms import eval_transform

NETWORK = About(model="any", num_classes=2, img_size=(32, 48), mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.mark.parametrize("in_chans", [1, 3])
def test_what_a_network_takes(in_chans: int) -> None:
    about = replace(NETWORK, mean=(0.5,) * in_chans, std=(0.25,) * in_chans, in_chans=in_chans)
    transform = eval_transform(about, 1.0)
    for image in (Image.new("RGB", (100, 60), (255, 255, 255)), Image.new("L", (20, 90), 255)):
        x = transform(image)
        assert x.shape == (in_chans, 32, 48)
        assert torch.allclose(x, torch.full_like(x, 2.0))


def test_two_channels_are_no_image() -> None:
    about = replace(NETWORK, mean=(0.5,) * 2, std=(0.5,) * 2, in_chans=2)
    with pytest.raises(OptionError, match=r"1 channel \(grey\) or 3"):
        eval_transform(about)


def test_the_crop_is_timms() -> None:
    image = Image.new("RGB", (64, 64))
    image.paste((255, 255, 255), (4, 4, 60, 60))  # exactly what 7/8 of the side keep
    about = replace(NETWORK, img_size=(56, 56), mean=(0.0,) * 3, std=(1.0,) * 3)
    assert torch.allclose(eval_transform(about)(image), torch.ones(3, 56, 56))
    assert eval_transform(about, 1.0)(image)[0, 0, 0] < 0.1
