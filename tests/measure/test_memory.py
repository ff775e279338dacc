"""Free memory is what the tightest limit leaves, whichever version of control groups sets it."""

from pathlib import Path

import pytest
import torch

from saevit import machine
from saevit.measure import memory

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
    machine = type("Memory", (), {"available": 64 * GIB})
    monkeypatch.setattr("psutil.virtual_memory", lambda: machine)
    return 64 * GIB


def test_without_control_groups_the_machine_decides(root: Path, plenty: int) -> None:
    assert memory.available_memory("cpu") == plenty


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
    assert memory.available_memory("cpu") == 2 * GIB


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
    assert memory.available_memory("cpu") == GIB + GIB // 2


def test_a_limit_already_passed_leaves_nothing(root: Path, plenty: int) -> None:
    write(
        root,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{GIB}\n",
            "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
        },
    )
    assert memory.available_memory("cpu") == 0


def test_cuda_is_asked_for_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: {"cuda:1": (7, 9)}[device])
    assert memory.available_memory("cuda:1") == 7


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
    assert memory.is_out_of_memory(error) is exhausted


def test_torch_says_it_the_way_we_listen_for() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert memory.is_out_of_memory(caught.value)
