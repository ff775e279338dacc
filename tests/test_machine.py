"""What the limits of a container leave of the machine, and what fits in its memory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
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
    free_memory,
    is_out_of_memory,
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
    needed = max(building, (HELD * weights + SCRATCH) + PASSING * image * batch)
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


GIB = 1 << 30


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def plenty(monkeypatch: pytest.MonkeyPatch) -> int:
    seen = type("Memory", (), {"available": 64 * GIB})
    monkeypatch.setattr("psutil.virtual_memory", lambda: seen)
    return 64 * GIB


def test_without_control_groups_the_machine_decides(root: Path, plenty: int) -> None:
    assert free_memory("cpu") == plenty


def test_version_2_counts_cache_as_free_and_takes_the_tightest_parent(root: Path, plenty: int) -> None:
    write(
        root,
        {
            "proc/self/cgroup": "0::/pods/mine\n",
            "sys/fs/cgroup/pods/mine/memory.max": "max\n",
            "sys/fs/cgroup/pods/mine/memory.current": f"{GIB}\n",
            "sys/fs/cgroup/pods/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/pods/memory.current": f"{3 * GIB}\n",
            "sys/fs/cgroup/pods/memory.stat": f"anon 1\ninactive_file {GIB}\n",
        },
    )
    assert free_memory("cpu") == 2 * GIB


def test_version_1_inside_a_container_is_read_at_its_mount(root: Path, plenty: int) -> None:
    write(
        root,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB // 2}\n",
        },
    )
    assert free_memory("cpu") == GIB + GIB // 2


def test_a_limit_already_passed_leaves_nothing(root: Path, plenty: int) -> None:
    write(
        root,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{GIB}\n",
            "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
        },
    )
    assert free_memory("cpu") == 0


def test_cuda_is_asked_for_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: {"cuda:1": (7, 9)}[device])
    assert free_memory("cuda:1") == 7


@pytest.mark.parametrize(
    ("error", "exhausted"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory of what this option means"), False),
    ],
)
def test_out_of_memory_is_recognised_on_every_device(error: Exception, exhausted: bool) -> None:
    assert is_out_of_memory(error) is exhausted


def test_torch_says_it_the_way_we_listen_for() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)
