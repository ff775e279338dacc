"""The environment holds what is needed to judge a figure, wherever it is read."""

import importlib.metadata
import os
import sys
from pathlib import Path
from subprocess import run

import pytest
import torch

import saevit
from saevit import machine
from saevit.measure import environment as module
from saevit.measure.environment import cpu_name, environment, load_average, settings
from saevit.runs.record import Environment


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
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert cpu_name()
    assert environment.__wrapped__().usable_cores >= 1
    assert environment.__wrapped__().governor is None


def test_the_cpu_is_named_as_the_kernel_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast 3000 @ 3GHz\nflags\t: fpu\n")
    assert cpu_name() == "Fast 3000 @ 3GHz"


def test_settings_are_what_changes_speed_without_anyones_paths() -> None:
    variables = {
        "OMP_NUM_THREADS": "4",
        "LD_PRELOAD": "/opt/lib/libtcmalloc.so:/opt/lib/libiomp5.so",
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "NVIDIA_REQUIRE_CUDA": "cuda>=13.0 brand=tesla,driver>=535",  # of a container, not of the speed
        "NVIDIA_TF32_OVERRIDE": "0",
        "TORCHINDUCTOR_CACHE_DIR": "/home/me/cache",
        "TORCHINDUCTOR_FREEZING": "1",
        "TORCHDYNAMO_SUPPRESS_ERRORS": "1",
        "TORCH_COMPILE_DISABLE": "1",
        "KMP_AFFINITY": "compact\x1b[2J",
        "MKL_NUM_THREADS": "2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "TIMM_FUSED_ATTN": "0",
        "HOME": "/home/me",
        "MY_TOKEN": "secret",
    }
    assert settings(variables) == (
        "KMP_AFFINITY=compact\\x1b[2J",
        "LD_PRELOAD=libtcmalloc.so:libiomp5.so",
        "MALLOC_MMAP_THRESHOLD_=4294967296",
        "MKL_NUM_THREADS=2",
        "NVIDIA_TF32_OVERRIDE=0",
        "OMP_NUM_THREADS=4",
        "ONEDNN_MAX_CPU_ISA=AVX2",
        "TIMM_FUSED_ATTN=0",
        "TORCHDYNAMO_SUPPRESS_ERRORS=1",
        "TORCHINDUCTOR_FREEZING=1",
        "TORCH_COMPILE_DISABLE=1",
    )


@pytest.mark.parametrize("kind", ["x86_64 Kernel Module", "Open Kernel Module for x86_64"])
def test_the_driver_has_its_version(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    line = f"NVRM version: NVIDIA UNIX {kind}  580.159.04  Release Build  Tue May 12 09:14:01 2026\n"
    (tmp_path / "proc/driver/nvidia/version").write_text(line + "GCC version: gcc version 13.3.0\n")
    assert environment.__wrapped__().accelerator_driver == "580.159.04"


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
