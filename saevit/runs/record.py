"""One fact with its provenance: quantity, value, source, conditions and machine."""

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

import saevit
from saevit.decode import LARGEST, DecodeError, decode
from saevit.errors import OptionError
from saevit.text import abbreviated

SCHEMA_VERSION = 2
MOST = 2**31  # pixels of a side, images of a batch, threads
LONGEST_NAME = 2000  # characters
SHORTEST, LONGEST = 1e-12, 1e12  # a sample, in its unit: ratios of samples stay finite
COUNTS = {"params": "parameters", "macs": "MACs", "activations": "elements", "peak_bytes": "bytes"}  # units

Dtype = Literal["fp32", "bf16", "fp16", "int8"]
MemoryFormat = Literal["contiguous", "channels_last"]
Source = Literal["published", "analytic", "counted", "measured"]

BYTES: dict[Dtype, int] = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}  # of one number


def utc_now() -> str:
    """Return the time in the form of records: ISO-8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The software and the machine behind a figure; None: unknown."""

    python: str
    torch: str  # with its build tag, such as 2.11.0+cpu
    timm: str | None  # None: not installed
    birder: str | None = None
    onnxruntime: str | None = None
    openvino: str | None = None
    executorch: str | None = None
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
        """Number of the network definition in the saevit that built the variants."""
        return 1 if self.saevit.startswith("0.1.") else saevit.NETWORK


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a measurement depends on besides model and machine. Raises OptionError for invalid values."""

    img_size: tuple[int, int]  # height, width in pixels
    batch_size: int
    dtype: Dtype
    device: str  # cpu, cuda or mps, with ":index" if there are several
    runtime: str
    threads: int
    memory_format: MemoryFormat
    folded: bool = False  # not as defined; baselines are re-parameterised either way

    def __post_init__(self) -> None:
        sizes = {"img_size": min(self.img_size), "batch_size": self.batch_size, "threads": self.threads}
        for name, value in (*sizes.items(), ("img_size", max(self.img_size))):
            if not 1 <= value <= MOST:
                raise OptionError(f"{name} {value}: a whole number from 1 to {MOST}")
        if not re.fullmatch(r"(cpu|cuda|mps)(:[0-9]{1,3})?", self.device):
            raise OptionError(
                f"device {abbreviated(self.device)}: cpu, cuda, mps, or one of several such as cuda:1"
            )
        if not self.runtime:
            raise OptionError("runtime '': a runtime has a name, such as eager")

    def __str__(self) -> str:
        height, width = self.img_size
        return (
            f"{height}x{width}, batch {self.batch_size}, {self.dtype}, {self.device}, {self.runtime}, "
            f"{self.threads} thread{'s' * (self.threads > 1)}, {self.memory_format}{', folded' * self.folded}"
        )


@dataclass(frozen=True, kw_only=True)
class Record:
    """One quantity of one subject: a value or raw samples. Raises ValueError for an inconsistent record."""

    subject: str  # variant string or model id
    quantity: str
    unit: str
    value: int | float | None = None
    samples: tuple[float, ...] = ()  # in the order taken; position = round
    source: Source
    conditions: Conditions | None = None
    environment: Environment | None = None
    time: str  # ISO-8601, UTC
    notes: tuple[str, ...] = ()  # what a reader of the figure must know
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        check_version(self.schema_version, SCHEMA_VERSION, "record")
        for name in ("subject", "quantity", "unit"):
            check_label(name, getattr(self, name))
        check_time(self.time)
        if rule := self._broken_rule():
            raise ValueError(f"{abbreviated(self.subject)}, {abbreviated(self.quantity)}: {rule}")

    def _broken_rule(self) -> str | None:
        """Return the first rule that the record breaks, or None."""
        value = self.value
        if (value is None) == (not self.samples):
            return "a record has either a value or samples"
        if not all(0 <= sample <= LONGEST for sample in self.samples):
            return f"samples are from 0 to {LONGEST:g}"
        if value is not None and not abs(value) <= LARGEST:
            return f"only finite numbers up to {LARGEST} can be recorded"
        if self.source == "measured" and self.environment is None:
            return "a measured record names its environment"
        if self.samples and self.source != "measured":
            return f"samples are measured, not {self.source}"
        unit = COUNTS.get(self.quantity)
        if unit and (self.unit != unit or not isinstance(value, int) or value < 0):
            return f"a whole number of {unit}, 0 or more"
        if self.unit == "%" and value is not None and not 0 <= value <= 100:
            return f"{value} % is not within 0 and 100"
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `from_dict` gives back an equal record."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return data

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Read what `to_dict` wrote, in this version or an earlier one.

        Raises:
            DecodeError: a later schema version, a missing key, a value of another type or out of its range.
        """
        if isinstance(data, dict):
            check_version(data.get("schema_version"), SCHEMA_VERSION, "record")
            data = convert_version(data) | {"schema_version": SCHEMA_VERSION}
        return decode(cls, data)


def convert_version(data: Any) -> Any:
    """Return data of an earlier version in the form of this version: version 1 named `folded` `fused`."""
    if isinstance(data, dict):
        return {"folded" if key == "fused" else key: convert_version(value) for key, value in data.items()}
    return [convert_version(value) for value in data] if isinstance(data, list) else data


def check_version(version: object, newest: int, what: str) -> None:
    """Refuse, by a DecodeError, data of a later version."""
    if type(version) is not int or not 1 <= version <= newest:
        raise DecodeError(
            f"{what} of schema version {abbreviated(repr(version))}: this saevit reads up to "
            f"version {newest}, use the saevit that wrote it or a newer one"
        )


def check_label(what: str, text: str) -> None:
    """Refuse, by a DecodeError, a name that is empty or too long."""
    if not 0 < len(text) <= LONGEST_NAME:
        raise DecodeError(f"{what} {abbreviated(text)!r}: a text of 1 to {LONGEST_NAME} characters")


def check_time(text: str) -> None:
    """Refuse, by a DecodeError, text that is not a time in UTC of the years 1970 to 2999."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = datetime.min
    if time.utcoffset() != timedelta(0) or not 1970 <= time.year < 3000:
        raise DecodeError(f"time {abbreviated(text)}: ISO-8601 in UTC, such as 2026-01-31T12:00:00+00:00")
