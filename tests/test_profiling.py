"""The whole profile: what is put together from counts and timings."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saevit.errors import MemoryLimitError, OptionError
from saevit.measure.timing import TimingOptions
from saevit.profiling import Profile, profile
from saevit.report.views.profile import view_profile
from saevit.runs.statistics import ratio
from saevit.runs.store import Writer, read_run
from saevit.variant import VariantSpec, parse
from tests.strategies import img_sizes, specs

SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1-1-2-1,rates=8-4-2-1,attn_blocks=1,classes=10"
PLAN = TimingOptions(batch_sizes=(1, 2), rounds=7, min_time=0.002, threads=1, device="cpu")


@pytest.fixture(scope="module")
def measured() -> Profile:
    return profile(SMALL, img_size=(64, 48), counters=["analytic"], timing=PLAN)


@settings(max_examples=40, deadline=None)
@given(specs(), img_sizes(), st.sampled_from(["stage", "block", "module"]))
def test_rows_add_up(spec: VariantSpec, img_size: tuple[int, int], by: str) -> None:
    found = profile(spec, img_size=img_size, counters=["analytic"], by=by)  # type: ignore[arg-type]
    assert sum(row.macs for row in found.rows) == found.macs
    assert sum(row.params for row in found.rows) == found.params
    assert sum(row.activations or 0 for row in found.rows) == found.activations
    assert found.weight_bytes == 4 * found.params


def test_all_counters_are_on_the_receipt_and_agree() -> None:
    found = profile(SMALL, img_size=(50, 41))
    assert [line.counter for line in found.receipt] == ["analytic", "torch", "fvcore", "thop"]
    assert [line.agrees for line in found.receipt] == [None, True, True, True]
    assert {line.macs for line in found.receipt} == {found.macs}
    assert found.agreed


@pytest.mark.parametrize("counter", ["torch", "fvcore", "thop"])
def test_what_a_tool_says_unaided_is_explained_to_the_last_mac(counter: str) -> None:
    (line,) = profile(SMALL, counters=[counter]).receipt
    amounts = [int(reason.rpartition(": ")[2].replace(",", "")) for reason in line.reasons]
    assert line.macs is not None
    assert line.macs + sum(amounts) == line.out_of_box


def test_rows_show_what_sampling_leaves() -> None:
    rows = {row.path: row for row in profile(SMALL, counters=["analytic"]).rows}
    first = rows["stages.0"]
    assert (first.channels, first.height, first.width, first.pixels, first.tokens) == (8, 56, 56, 3136, 49)
    assert first.sparsity == 1 - (49 / 3136) ** 2
    assert rows["stem"].tokens is None
    assert rows["stages.3"].sparsity == 0


def test_blocks_without_attention_show_no_tokens() -> None:
    rows = {row.path: row for row in profile(SMALL, counters=["analytic"], by="block").rows}
    assert rows["stages.2.blocks.0"].tokens is None
    assert rows["stages.2.blocks.1"].tokens == 49


def test_precision_changes_bytes_and_nothing_else() -> None:
    fp32, bf16 = (profile(SMALL, dtype=dtype, counters=["analytic"]) for dtype in ("fp32", "bf16"))
    assert (bf16.macs, bf16.params, bf16.rows) == (fp32.macs, fp32.params, fp32.rows)
    assert (2 * bf16.weight_bytes, 2 * (bf16.peak_bytes or 0)) == (fp32.weight_bytes, fp32.peak_bytes)


def test_every_configuration_is_timed_in_every_round(measured: Profile) -> None:
    timings = measured.run
    assert timings is not None
    assert [latency.conditions.batch_size for latency in timings.timed] == [1, 2]
    assert all(len(latency.samples) == PLAN.rounds == timings.rounds for latency in timings.timed)
    assert len(timings.twin) == PLAN.rounds
    assert timings.timed[0].conditions.threads == 1


def test_noise_floor_follows_from_raw_samples(measured: Profile) -> None:
    timings = measured.run
    assert timings is not None
    assert timings.noise_floor == ratio(timings.twin, timings.timed[0].samples)


@pytest.mark.parametrize("by", ["stage", "block", "module"])
def test_times_of_rows_add_up_to_the_pass(by: str) -> None:
    found = profile(SMALL, img_size=(64, 64), counters=["analytic"], by=by, timing=PLAN)  # type: ignore[arg-type]
    assert found.module_times is not None
    assert len(found.module_times.watched) == PLAN.rounds
    for i, whole in enumerate(found.module_times.watched):
        assert sum(row.seconds[i] for row in found.rows if row.seconds) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("fold", [True, False])
def test_the_form_that_runs_is_said(fold: bool) -> None:
    plan = replace(PLAN, batch_sizes=(1,), fold=fold)
    found = profile(SMALL, img_size=(64, 64), counters=["analytic"], timing=plan)
    assert found.run is not None
    assert found.module_times is not None
    assert found.run.timed[0].conditions.folded == found.module_times.conditions.folded == fold


def test_modules_that_folding_leaves_none_of_are_timed_as_defined() -> None:
    found = profile(SMALL, img_size=(64, 64), counters=["analytic"], by="module", timing=PLAN)
    assert found.run is not None
    assert found.module_times is not None
    assert found.run.timed[0].conditions.folded
    assert not found.module_times.conditions.folded
    assert {row.path for row in found.rows if row.seconds} >= {"stages.0.blocks.0.ffn.fc1.conv"}
    notes = next(table for table in view_profile(found).tables if table.title == "Breakdown by module").notes
    assert any("network as defined, because" in note for note in notes)


def test_counts_do_not_move_with_the_form() -> None:
    forms = [
        profile(SMALL, img_size=(64, 64), counters=["analytic"], timing=replace(PLAN, fold=f))
        for f in (True, False)
    ]
    assert forms[0].macs == forms[1].macs
    assert forms[0].receipt == forms[1].receipt


def test_what_is_measured_is_kept(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        found = profile(SMALL, img_size=(64, 64), counters=["analytic"], timing=PLAN, writer=writer)
    assert found.module_times is not None
    run = read_run(writer.path)
    assert run.ending == "finished"
    assert {s.name for s in run.subjects} == {str(parse(SMALL))}
    assert replace(run, facts=(), path=Path()) == found.run
    modules = {f.quantity: f.samples for f in run.facts}
    assert modules == {
        f"own_latency of {row.path}": row.seconds for row in found.rows if row.path and row.seconds
    } | {
        "own_latency of what is elsewhere": next(r.seconds for r in found.rows if not r.path),
        "latency of the watched pass": found.module_times.watched,
        "latency of the unwatched pass": found.module_times.plain,
    }


def test_ratio_of_a_variant_to_itself_contains_one() -> None:
    """A/A: over ten runs at 95 % confidence, six or fewer would happen by chance once in 10,000 times."""
    plan = TimingOptions(batch_sizes=(1,), rounds=9, min_time=0.005, threads=1, device="cpu")
    floors = [profile(SMALL, img_size=(64, 64), counters=["analytic"], timing=plan).run for _ in range(10)]
    inside = [f.noise_floor.low <= 1 <= f.noise_floor.high for f in floors if f and f.noise_floor]
    assert len(inside) == 10
    assert sum(inside) >= 7


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": "saevit_tny"}, OptionError, "did you mean saevit_tiny"),
        ({"img_size": (16, 16)}, OptionError, "img_size 16x16: 16 px is out of range, nearest is 32"),
        ({"img_size": (224, 99999)}, OptionError, "99999 px is out of range, nearest is 16384"),
        ({"counters": ["flops"]}, OptionError, "counter 'flops' is not known: choose from analytic, torch"),
        ({"timing": TimingOptions(device="tpu")}, OptionError, "device 'tpu' is not known"),
        (
            {"timing": TimingOptions(runtimes=("eagr",))},
            OptionError,
            "runtime 'eagr' is not known: did you mean eager?",
        ),
        (
            {"timing": TimingOptions(batch_sizes=(10**9,), device="cpu")},
            MemoryLimitError,
            "nearest is --batch-size",
        ),
        (
            {"model": "saevit_tiny:width=100", "timing": TimingOptions(device="cpu")},
            MemoryLimitError,
            "nearest is --no-measure, which only counts; --force tries all the same",
        ),
    ],
)
def test_refuses(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        profile(**{"model": SMALL} | arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_force_skips_the_memory_check() -> None:
    plan = TimingOptions(batch_sizes=(1,), rounds=1, min_time=0.001, device="cpu", force=True)
    assert profile(SMALL, img_size=(32, 32), counters=["analytic"], timing=plan).run is not None


@pytest.mark.parametrize(
    ("timing", "message"),
    [(None, "--by op needs times: drop --no-measure"), (PLAN, "runtime eager has no profile by operator")],
)
def test_operators_need_a_runtime_that_profiles_them(timing: TimingOptions | None, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        profile(SMALL, counters=["analytic"], by="op", timing=timing)


def test_operators_of_a_runtime_are_timed_and_stored(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    plan = replace(PLAN, batch_sizes=(2,), runtimes=("eager", "onnxruntime"), rounds=2)
    flat = "saevit_pico:dims=8-8-16-16,heads=1,depths=1,attention=none,classes=10"
    with Writer(tmp_path) as writer:
        found = profile(flat, img_size=(64, 64), counters=["analytic"], by="op", timing=plan, writer=writer)
    (times,) = found.operator_times
    assert times.conditions.runtime == "onnxruntime"
    assert found.module_times is None
    stored = {fact.quantity: fact.samples for fact in read_run(writer.path).facts}
    for kind in times.kinds:
        assert stored[f"latency of operators: {kind.name}"] == kind.samples
    assert stored["latency of the matrix product"] == times.product
