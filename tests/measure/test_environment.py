"""The environment holds what is needed to judge a figure, wherever it is read."""

import importlib.metadata
import os
import sys
from pathlib import Path
from subprocess import run

import pytest
import torch

import saevit
from saevit.measure import environment as module
from saevit.measure import memory
from saevit.measure.environment import cpu_name, environment, load_average, settings, usable_cores
from saevit.results.record import Environment


def test_what_is_collected_here_is_true_and_cached() -> None:
    here = environment()
    assert here.torch == torch.__version__
    assert here.saevit == saevit.__version__
    assert 1 <= here.usable_cores <= here.logical_cores
    assert here.memory_bytes > 1 << 28
    assert (here.accelerator is None) is (not torch.accelerator.is_available())
    assert environment() is here


def test_timm_is_not_imported_to_read_its_version() -> None:
    code = "import sys, saevit.measure.environment as e; e.environment(); print('timm' in sys.modules)"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_timm_there_is_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def no_timm(name: str) -> str:
        if name == "timm":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", no_timm)
    fresh: Environment = environment.__wrapped__()
    assert fresh.timm is None


def test_a_system_without_proc_still_has_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    assert cpu_name()
    assert usable_cores() >= 1
    assert environment.__wrapped__().governor is None


def test_the_cpu_is_named_as_the_kernel_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast 3000 @ 3GHz\nflags\t: fpu\n")
    assert cpu_name() == "Fast 3000 @ 3GHz"


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
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "sys/fs/cgroup" / name).write_text(text)
    assert usable_cores() == cores


def test_settings_are_what_changes_speed_without_anyones_paths() -> None:
    variables = {
        "OMP_NUM_THREADS": "4",
        "LD_PRELOAD": "/opt/lib/libtcmalloc.so:/opt/lib/libiomp5.so",
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "TORCHINDUCTOR_CACHE_DIR": "/home/me/cache",
        "HOME": "/home/me",
        "MY_TOKEN": "secret",
    }
    assert settings(variables) == (
        "LD_PRELOAD=libtcmalloc.so:libiomp5.so",
        "MALLOC_MMAP_THRESHOLD_=4294967296",
        "OMP_NUM_THREADS=4",
    )


def test_load_average_is_absent_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getloadavg", raising=False)
    assert load_average() is None


def test_accelerators_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda")
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Small" if index == 2 else "Big")
    assert module.environment.__wrapped__().accelerator == "2 x Big, Small"
