"""One fact with its provenance: what was found, how, under which conditions, on which machine."""

import math
import re
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self, get_args

import saevit

SCHEMA_VERSION = 2
READABLE = (1, SCHEMA_VERSION)

Dtype = Literal["fp32", "bf16", "fp16"]
MemoryFormat = Literal["contiguous", "channels_last"]
Source = Literal["published", "analytic", "counted", "measured"]


def utc_now() -> str:
    """Return the time as records carry it: ISO-8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The software and the machine behind a figure; None where the machine does not tell."""

    python: str
    torch: str  # with its build tag, such as 2.11.0+cpu
    timm: str | None  # None: not installed
    birder: str | None = None
    onnxruntime: str | None = None
    openvino: str | None = None
    saevit: str
    os: str
    machine: str  # instruction set family, such as x86_64
    cpu: str
    cpu_capability: str  # the vector instructions torch uses, such as AVX512
    governor: str | None  # frequency policy of the first core
    physical_cores: int | None
    logical_cores: int
    usable_cores: int  # after affinity and container quota
    memory_bytes: int
    accelerator: str | None
    accelerator_driver: str | None
    accelerator_toolkit: str | None  # what torch was built with, such as cuda 13.0
    settings: tuple[str, ...]  # NAME=value of every set variable known to change speed

    @property
    def network(self) -> int:
        """Number of the definition by which its saevit built variants."""
        return 1 if self.saevit.startswith("0.1.") else saevit.NETWORK

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `Record.to_dict` wrote."""
        return cls(**_known(cls, data) | {"settings": tuple(data["settings"])})


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a measurement depends on besides the model and the machine.

    Raises:
        ValueError: a value that no measurement can have.
    """

    img_size: tuple[int, int]  # height, width in pixels
    batch_size: int
    dtype: Dtype
    device: str  # cpu, cuda or mps, with ":index" where there are several
    runtime: str
    threads: int
    memory_format: MemoryFormat
    folded: bool = False  # not as defined; baselines are re-parameterised either way

    def __post_init__(self) -> None:
        if len(self.img_size) != 2 or not all(_positive(side) for side in self.img_size):
            raise ValueError(f"img_size {self.img_size!r}: two positive integers, such as (224, 224)")
        for name in ("batch_size", "threads"):
            if not _positive(getattr(self, name)):
                raise ValueError(f"{name} {getattr(self, name)!r}: an integer of 1 or more")
        _one_of("dtype", self.dtype, get_args(Dtype))
        _one_of("memory_format", self.memory_format, get_args(MemoryFormat))
        if not re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", self.device):
            raise ValueError(f"device {self.device!r}: cpu, cuda or mps, or one of several such as cuda:1")
        if not self.runtime:
            raise ValueError("runtime '': a runtime has a name, such as eager")

    def __str__(self) -> str:
        height, width = self.img_size
        return (
            f"{height}x{width}, batch {self.batch_size}, {self.dtype}, {self.device}, {self.runtime}, "
            f"{self.threads} thread{'s' * (self.threads > 1)}, {self.memory_format}{', folded' * self.folded}"
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `Record.to_dict` wrote; in schema version 1 `folded` was called `fused`."""
        data = {"folded" if name == "fused" else name: value for name, value in data.items()}
        return cls(**_known(cls, data) | {"img_size": tuple(data["img_size"])})


@dataclass(frozen=True, kw_only=True)
class Record:
    """One quantity of one subject: a value, or the raw samples from which any statistic follows.

    Raises:
        ValueError: a record that claims nothing, claims it twice, or measured it nowhere.
    """

    subject: str  # variant string or model id
    quantity: str
    unit: str
    value: int | float | None = None
    samples: tuple[float, ...] = ()  # in the order taken; position = round
    source: Source
    conditions: Conditions | None = None
    environment: Environment | None = None
    time: str  # ISO-8601, UTC
    notes: tuple[str, ...] = ()  # what a reader of the figure has to know
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        _check_version(self.schema_version)
        for name in ("subject", "quantity", "unit"):
            if not getattr(self, name):
                raise ValueError(f"record without a {name}: subject, quantity and unit are never empty")
        if (self.value is None) == (not self.samples):
            raise ValueError(f"{self.subject}, {self.quantity}: a record has either a value or samples")
        if not all(map(_finite, self.samples if self.value is None else (self.value,))):
            raise ValueError(f"{self.subject}, {self.quantity}: only finite numbers can be recorded")
        _one_of("source", self.source, get_args(Source))
        if self.source == "measured" and self.environment is None:
            raise ValueError(f"{self.subject}, {self.quantity}: a measured record names its environment")
        if self.samples and self.source != "measured":
            raise ValueError(f"{self.subject}, {self.quantity}: samples are measured, not {self.source}")
        _check_time(self.time)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `from_dict` gives back an equal record."""
        data: dict[str, Any] = _listed(asdict(self))
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: another schema version, a missing or unknown key, or a value out of its range.
        """
        _check_version(data.get("schema_version"))
        conditions, environment = data.get("conditions"), data.get("environment")
        return cls(
            **_known(cls, data)
            | {
                "samples": tuple(data["samples"]),
                "notes": tuple(data["notes"]),
                "conditions": None if conditions is None else Conditions.from_dict(conditions),
                "environment": None if environment is None else Environment.from_dict(environment),
                "schema_version": SCHEMA_VERSION,
            }
        )


def _known(cls: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(cls)}
    needed = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    if wrong := (needed - data.keys()) | (data.keys() - names):
        kinds = [f"{name} is {'missing' if name in names else 'unknown'}" for name in sorted(wrong)]
        raise ValueError(f"not a {cls.__name__} of schema version {SCHEMA_VERSION}: {', '.join(kinds)}")
    return data


def _check_version(version: object) -> None:
    if version not in READABLE:
        raise ValueError(
            f"record of schema version {version}: this saevit reads up to version {SCHEMA_VERSION}, "
            "use the saevit that wrote it or a newer one"
        )


def _check_time(text: str) -> None:
    try:
        offset = datetime.fromisoformat(text).utcoffset()
    except ValueError:
        offset = None
    if offset != timedelta(0):
        raise ValueError(f"time {text!r}: ISO-8601 in UTC, such as 2026-01-31T12:00:00+00:00")


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} {value!r}: choose from {', '.join(choices)}")


def _positive(value: object) -> bool:
    return type(value) is int and value >= 1


def _finite(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _listed(value: Any) -> Any:
    """Return the value with lists for tuples, which is what JSON gives back."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, tuple) else value
