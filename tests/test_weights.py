"""The weights that come with the package."""

import torch

from saevit.checkpoint import read_checkpoint
from saevit.loading import load_network
from saevit.weights import SHIPPED, SHIPPED_IMG_SIZE, SHIPPED_MODEL


def test_the_file_says_what_it_is() -> None:
    about = read_checkpoint(SHIPPED).about
    assert about is not None
    assert (about.model, about.img_size) == (SHIPPED_MODEL, SHIPPED_IMG_SIZE)
    assert len(about.class_names) == about.num_classes == 226
    assert about.data.startswith("icons:iconify-json-")
    assert "/" not in about.data
    assert about.training is not None
    assert about.training.is_complete


def test_half_precision_is_read_into_a_network_in_fp32() -> None:
    file = read_checkpoint(SHIPPED)
    assert file.size < 5e6
    assert {w.dtype for w in file.sets[""].values() if w.is_floating_point()} == {torch.float16}
    net = load_network(None, file)
    assert not net.is_random
    assert {parameter.dtype for parameter in net.model.parameters()} == {torch.float32}
