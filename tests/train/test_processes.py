"""Who speaks among several processes, and that all of them stop where the first one does."""

import pytest
import torch

from saevit.errors import OptionError
from saevit.train.processes import Processes, is_first_of, joined
from saevit_cli.commands.train_options import amp_of


def test_who_is_first_is_what_the_launcher_says() -> None:
    assert is_first_of({})
    assert is_first_of({"RANK": "0"})
    assert not is_first_of({"RANK": "3"})


def test_alone_nothing_has_to_be_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as alone:
        assert (alone.rank, alone.count, alone.is_first) == (0, 1, True)
        net = torch.nn.Linear(2, 2)
        assert alone.wrapped(net) is net
        assert alone.summed(torch.ones(2)).tolist() == [1, 1]


def test_several_processes_cannot_share_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="several processes take a device each"), joined("cuda:1"):
        pass


def test_what_the_first_finds_wrong_is_raised() -> None:
    def fail() -> None:
        raise OptionError("no")

    with pytest.raises(OptionError, match="no"):
        Processes(device=torch.device("cpu")).first_does(fail)


def test_accelerates_precision_is_the_default() -> None:
    assert amp_of(None, {}) is None
    assert amp_of(None, {"ACCELERATE_MIXED_PRECISION": "no"}) is None
    assert amp_of(None, {"ACCELERATE_MIXED_PRECISION": "bf16"}) == "bf16"
    assert amp_of("none", {"ACCELERATE_MIXED_PRECISION": "bf16"}) == "none"
