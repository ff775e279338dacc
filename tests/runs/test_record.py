"""A record says where it comes from, refuses to claim what it cannot know, and survives JSON unchanged."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import saevit
from saevit.decode import DecodeError
from saevit.runs.record import Conditions, Environment, Record, utc_now
from saevit.text import printable

ENVIRONMENT = Environment(
    python="3.13.0",
    torch="2.11.0+cpu",
    timm=None,
    saevit="0.2.0",
    os="Linux",
    machine="x86_64",
    cpu="a processor",
    cpu_capability="AVX512",
    governor=None,
    physical_cores=None,
    logical_cores=4,
    usable_cores=2,
    memory_bytes=8 << 30,
    accelerator=None,
    accelerator_driver=None,
    accelerator_toolkit=None,
    settings=("OMP_NUM_THREADS=2",),
)
CONDITIONS = Conditions(
    img_size=(224, 192),
    batch_size=8,
    dtype="fp32",
    device="cpu",
    runtime="eager",
    threads=2,
    memory_format="channels_last",
)
MEASURED = Record(
    subject="saevit_tiny:ffn=mlp",
    quantity="latency",
    unit="s",
    samples=(0.1, 0.11),
    source="measured",
    conditions=CONDITIONS,
    environment=ENVIRONMENT,
    time="2026-01-31T12:00:00+00:00",
)
COUNTED = Record(
    subject="saevit_tiny",
    quantity="macs",
    unit="MACs",
    value=806_000_000,
    source="counted",
    time=MEASURED.time,
)

finite = st.floats(-1e300, 1e300)
text = st.text(min_size=1).map(printable)
conditions = st.builds(
    Conditions,
    img_size=st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
    batch_size=st.integers(1, 4096),
    dtype=st.sampled_from(["fp32", "bf16", "fp16"]),
    device=st.sampled_from(["cpu", "cuda", "cuda:3", "mps"]),
    runtime=text,
    threads=st.integers(1, 512),
    memory_format=st.sampled_from(["contiguous", "channels_last"]),
)
times = st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)).map(
    datetime.isoformat
)
measured = st.builds(
    Record,
    subject=text,
    quantity=text.map("a {}".format),  # no known one: those have their unit and range
    unit=text.map("per {}".format),
    samples=st.lists(st.floats(0, 1e12), min_size=1).map(tuple),
    source=st.just("measured"),
    conditions=st.none() | conditions,
    environment=st.just(ENVIRONMENT) | st.builds(replace, st.just(ENVIRONMENT), cpu=text),
    time=times,
    notes=st.lists(text).map(tuple),
)
valued = st.builds(
    Record,
    subject=text,
    quantity=text.map("a {}".format),  # no known one: those have their unit and range
    unit=text.map("per {}".format),
    value=st.integers(-(2**63) + 1, 2**63 - 1) | finite,
    source=st.sampled_from(["published", "analytic", "counted"]),
    conditions=st.none() | conditions,
    time=times,
)


@given(measured | valued)
def test_json_gives_back_the_same_record(record: Record) -> None:
    again = Record.from_dict(json.loads(json.dumps(record.to_dict())))
    assert again == record
    assert type(again.value) is type(record.value)  # an exact count stays an integer


@given(valued)
def test_a_dict_is_what_json_would_make_of_it(record: Record) -> None:
    assert json.loads(json.dumps(record.to_dict())) == record.to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject": ""}, "subject '': a text of 1 to 2000"),
        ({"unit": ""}, "unit '': a text of 1 to 2000"),
        ({"value": 1.0}, "either a value or samples"),
        ({"samples": ()}, "either a value or samples"),
        ({"samples": (0.1, float("nan"))}, "samples are from 0 to 1e\\+12"),
        ({"samples": (0.1, -0.1)}, "samples are from 0"),
        ({"samples": (1e308,)}, "samples are from 0"),
        ({"quantity": "macs"}, "a whole number of MACs"),
        ({"source": "published"}, "samples are measured, not published"),
        ({"environment": None}, "names its environment"),
        ({"time": "yesterday"}, "ISO-8601 in UTC"),
        ({"time": "2026-01-31T12:00:00"}, "ISO-8601 in UTC"),
        ({"time": "2026-01-31T12:00:00+02:00"}, "ISO-8601 in UTC"),
        ({"time": "0001-01-01T00:00:00+00:00"}, "ISO-8601 in UTC"),
        ({"time": "9999-12-31T23:59:59+00:00"}, "ISO-8601 in UTC"),
        ({"time": "9" * 400}, "ISO-8601 in UTC"),
        ({"schema_version": 3}, "schema version 3: this saevit reads up to version 2"),
    ],
)
def test_a_record_that_says_nothing_true_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(MEASURED, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": "loss", "unit": "nat", "value": float("inf")}, "only finite numbers"),
        ({"value": -1}, "a whole number of MACs"),
        ({"value": 1.5}, "a whole number of MACs"),
        ({"unit": "MB"}, "a whole number of MACs"),
        ({"quantity": "top1", "unit": "%", "value": 100.1}, "is not within 0 and 100"),
    ],
)
def test_a_value_is_one_of_its_quantity(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(COUNTED, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "guessed"}, "source = 'guessed'"),
        ({"samples": ["0.1"]}, r"samples\.0 = '0.1'"),
        ({"samples": [True]}, r"samples\.0 = True"),
        ({"value": "5", "samples": []}, "value"),
        ({"subject": "a\x1b[31m"}, "subject: .* has control characters"),
        ({"notes": [1]}, r"notes\.0 = 1"),
        ({"notes": "x"}, "notes = 'x'"),
        ({"conditions": [1]}, r"conditions = \[1\]"),
        ({"environment": 5}, "environment = 5"),
        ({"time": 5}, "time = 5"),
        ({"samples": [10**400]}, "beyond 64 bits"),
    ],
)
def test_another_type_is_refused_by_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DecodeError, match=message) as caught:
        Record.from_dict(MEASURED.to_dict() | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, 5, "x", [], {}, {"schema_version": 2}, {"schema_version": [2]}])
def test_what_is_no_record_is_refused(data: Any) -> None:
    with pytest.raises(DecodeError):
        Record.from_dict(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"img_size": [224]}, r"img_size\.1"),
        ({"img_size": [224, 0]}, "img_size 0: a whole number from 1"),
        ({"img_size": [2**40, 1]}, "img_size 1099511627776: a whole number from 1"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"batch_size": True}, "batch_size = True"),
        ({"threads": 1.5}, r"threads = 1\.5"),
        ({"dtype": "fp8"}, "dtype = 'fp8'.*'fp32', 'bf16', 'fp16' or 'int8'"),
        ({"device": "gpu"}, "cpu, cuda, mps"),
        ({"device": "cuda:"}, "cpu, cuda, mps"),
        ({"memory_format": "nhwc"}, "'contiguous' or 'channels_last'"),
        ({"runtime": ""}, "a runtime has a name"),
        ({"folded": 1}, "folded = 1"),
    ],
)
def test_conditions_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    data = MEASURED.to_dict()
    with pytest.raises(DecodeError, match=message):
        Record.from_dict(data | {"conditions": data["conditions"] | change})


def test_conditions_read_as_one_line() -> None:
    assert str(CONDITIONS) == "224x192, batch 8, fp32, cpu, eager, 2 threads, channels_last"
    assert "1 thread," in str(replace(CONDITIONS, threads=1))


def test_a_newer_schema_is_named_before_anything_else_is_read() -> None:
    with pytest.raises(ValueError, match="schema version 7"):
        Record.from_dict({"schema_version": 7, "hologram": True})


def test_a_record_of_version_1_is_read_as_one_of_today() -> None:
    data = MEASURED.to_dict() | {"schema_version": 1}
    data["conditions"]["fused"] = data["conditions"].pop("folded")
    assert Record.from_dict(data) == MEASURED


def test_an_environment_says_which_definition_of_the_network_it_built() -> None:
    versions = {"0.1.0": 1, "0.1.7": 1, "0.2.0": 2, "0.10.0": 2, saevit.__version__: saevit.NETWORK}
    assert {v: replace(ENVIRONMENT, saevit=v).network for v in versions} == versions


def test_missing_keys_are_named_and_unknown_ones_ignored() -> None:
    data = MEASURED.to_dict()
    assert Record.from_dict(data | {"colour": "red"}) == MEASURED
    del data["conditions"]["runtime"]
    with pytest.raises(DecodeError, match=r"conditions\.runtime: Field required"):
        Record.from_dict(data)


def test_now_is_utc() -> None:
    assert abs(datetime.fromisoformat(utc_now()) - datetime.now(UTC)) < timedelta(minutes=1)
    replace(MEASURED, time=utc_now())  # and in the form a record accepts
