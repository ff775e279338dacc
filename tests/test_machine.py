"""What a container's limits leave of the machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit import machine
from saevit.errors import MemoryLimitError
from saevit.machine import (
    BUILDING,
    FOLDING,
    HELD,
    PASSING,
    SCRATCH,
    check_fits,
    usable_cores,
)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 8),
        ({"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_usable_cores_are_the_affinity_cut_by_the_quota(
    files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "sys/fs/cgroup" / name).write_text(text)
    assert usable_cores() == cores


CORES = """
{first}
import os
import saevit
import torch
torch.ones(9)  # binds
print(saevit.usable_cores(), len(os.sched_getaffinity(0)))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an affinity")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
@pytest.mark.parametrize("first", ["", "import torch"])
@pytest.mark.parametrize("variable", ["OMP_PROC_BIND=true", "OMP_PLACES=cores", "OMP_NUM_THREADS=1"])
def test_cores_are_counted_before_openmp_binds_a_thread(variable: str, first: str) -> None:
    name, _, value = variable.partition("=")
    variables = {n: v for n, v in os.environ.items() if n not in machine.BINDING} | {name: value}
    done = subprocess.run(
        [sys.executable, "-c", CORES.format(first=first)],
        env=variables,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    cores, allowed = map(int, done.stdout.split())
    assert cores == usable_cores()
    assert allowed in (1, len(os.sched_getaffinity(0)))  # 1: bound


def test_an_affinity_that_a_program_chooses_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    for name in machine.BINDING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    monkeypatch.setattr(machine, "UNBOUND", 8)
    assert usable_cores() == 3
    monkeypatch.setenv("OMP_PROC_BIND", "close")
    assert usable_cores() == 8


def test_a_system_without_control_groups_has_its_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert usable_cores() >= 1


@given(st.floats(1e6, 1e10), st.floats(1e6, 1e9), st.integers(1, 1000), st.booleans())
def test_what_fits_is_what_was_measured(weights: float, image: float, batch: int, folds: bool) -> None:
    building = (FOLDING if folds else BUILDING) * weights
    needed = max(building, HELD * weights + PASSING * image * batch + SCRATCH)
    check_fits("it", weights, image, batch=batch, free=needed, way_out="less", folds=folds)
    free = needed * 0.9
    with pytest.raises(
        MemoryLimitError, match=r"^it needs .* GB, .* of them for weights, and .* GB are free on"
    ) as caught:
        check_fits("it", weights, image, batch=batch, free=free, way_out="less", folds=folds)
    if found := re.search(r"--batch-size (\d+)", str(caught.value)):
        check_fits(
            "it", weights, image, batch=int(found[1]), free=free * (1 + 1e-9), way_out="less", folds=folds
        )
        with pytest.raises(MemoryLimitError):
            check_fits("it", weights, image, batch=int(found[1]) + 1, free=free, way_out="less", folds=folds)
    else:
        assert str(caught.value).endswith("nearest is less")
        assert batch == 1 or building > free or HELD * weights + PASSING * image + SCRATCH > free
