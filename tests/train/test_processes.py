"""Who speaks among several processes, and that all of them stop where the first one does."""

import socket

import pytest
import torch

from saevit.errors import OptionError
from saevit.train import processes as module
from saevit.train.processes import (
    OwnProcessError,
    Processes,
    count_processes,
    is_first_process,
    join_processes,
)
from saevit_cli.commands.train import default_amp

SET = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def test_who_is_first_is_what_the_launcher_says() -> None:
    assert is_first_process({})
    assert is_first_process({"RANK": "0", "WORLD_SIZE": "4"})
    assert not is_first_process({"RANK": "3", "WORLD_SIZE": "4"})
    for count in ("", "1"):  # alone, whatever is left over
        assert is_first_process({"RANK": "3", "WORLD_SIZE": count})
        assert count_processes({"RANK": "3", "WORLD_SIZE": count, "MASTER_PORT": "x"}) == 1


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("WORLD_SIZE", ("abc", "0", "-1", "2.0", "1e3", "9" * 5000, "65537", "\x1b[2J", "\uff12")),
        ("RANK", ("", "2", "-1", "one", "9" * 400)),
        ("LOCAL_RANK", ("", "2", "x")),
        ("MASTER_PORT", ("", "0", "65536", "http")),
        ("MASTER_ADDR", ("",)),
    ],
)
def test_left_over_variables_are_one_line_that_names_them(name: str, texts: tuple[str, ...]) -> None:
    assert count_processes(SET) == 2
    assert count_processes(SET | {name: " 1 "}) in (1, 2)
    unset = [{other: SET[other] for other in SET if other != name}] if name != "WORLD_SIZE" else []
    for variables in (*(SET | {name: text} for text in texts), *unset):
        with pytest.raises(OwnProcessError, match=f"^{name} is .*unset WORLD_SIZE") as caught:
            count_processes(variables)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("rank", ["0", "1"])
def test_processes_that_do_not_come_are_not_awaited_for_ever(
    rank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for name, value in (SET | {"RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}).items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(
            OwnProcessError, match=rf"2 processes \(WORLD_SIZE\) cannot connect at 127.0.0.1:{port}"
        ),
        join_processes("cpu"),
    ):
        pass


def test_alone_nothing_has_to_be_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_processes("cpu") as alone:
        assert (alone.rank, alone.count, alone.is_first) == (0, 1, True)
        net = torch.nn.Linear(2, 2)
        assert alone.wrap(net) is net
        assert alone.sum(torch.ones(2)).tolist() == [1, 1]


def test_several_processes_cannot_share_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SET.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match="each process has its own device"), join_processes("cuda:1"):
        pass


def test_what_the_first_finds_wrong_is_raised() -> None:
    def fail() -> None:
        raise OptionError("no")

    with pytest.raises(OptionError, match="no"):
        Processes(device=torch.device("cpu")).run_in_first(fail)


def test_accelerates_precision_is_the_default() -> None:
    assert default_amp({}) is None
    assert default_amp({"ACCELERATE_MIXED_PRECISION": "no"}) is None
    assert default_amp({"ACCELERATE_MIXED_PRECISION": "bf16"}) == "bf16"
