"""A run is interleaved, repeatable, and survives what its subjects do."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from saevit.errors import MeasureError, OptionError
from saevit.measure.progress import NextStep
from saevit.measure.rounds import TimedModel, measure, schedule_rounds
from saevit.runs import store
from saevit.runs.run import Run, Subject
from saevit.runs.statistics import ratio
from saevit.runs.store import Writer
from tests.measure.conftest import CONDITIONS, Clock, Costly


def subject(name: str, clock: Clock, cost: Callable[[int], float], batch: int = 4) -> TimedModel:
    return TimedModel(
        name=name,
        build=lambda: Costly(clock, cost),
        conditions=replace(CONDITIONS, batch_size=batch),
    )


def order_of(steps: list[NextStep]) -> list[str]:
    """The labels in the order in which they were timed."""
    return [step.text.partition(", ")[2] for step in steps if step.text.startswith("round ")]


def steady(seconds: float) -> Callable[[int], float]:
    return lambda batch: seconds


def kept(folder: Path, subjects: list[TimedModel], **arguments: Any) -> tuple[Run, Run]:
    """Measure with a writer, and read what it wrote."""
    with Writer(folder) as writer:
        run = measure(subjects, writer=writer, **arguments)
    return run, store.read_run(writer.path)


def subject_of(run: Run, name: str) -> Subject:
    return next(subject for subject in run.timed if subject.name == name)


@given(st.lists(st.text(), unique=True, max_size=6), st.integers(0, 8), st.integers())
def test_every_round_is_a_permutation_and_the_seed_decides_which(
    names: list[str], rounds: int, seed: int
) -> None:
    order = schedule_rounds(names, rounds, random.Random(seed))
    assert len(order) == rounds
    for labels in order:
        assert sorted(labels) == sorted(names)
    assert order == schedule_rounds(names, rounds, random.Random(seed))


def test_positions_in_a_round_are_shared_fairly() -> None:
    first = Counter(labels[0] for labels in schedule_rounds("abc", 3000, random.Random(0)))
    assert all(900 < first[name] < 1100 for name in "abc")


def test_figures_are_seconds_per_batch_one_a_round(clock: Clock) -> None:
    steps: list[NextStep] = []
    run = measure(
        [subject("slow", clock, steady(0.4)), subject("fast", clock, steady(0.1))],
        rounds=6,
        min_time=0.5,
        on_progress=steps.append,
    )
    assert subject_of(run, "slow").samples == pytest.approx([0.4] * 6)
    assert subject_of(run, "fast").samples == pytest.approx([0.1] * 6)
    assert subject_of(run, "fast").calls_per_sample >= 5
    assert run.reference == subject_of(run, "slow")
    assert (run.rounds, run.interrupted) == (6, False)
    assert ratio(subject_of(run, "fast").samples, subject_of(run, "slow").samples).verdict == "faster"
    assert Counter(order_of(steps)) == {"slow": 6, "fast": 6, "slow (again)": 6}


def test_drift_reaches_all_subjects_alike(clock: Clock) -> None:
    a = subject("a", clock, lambda batch: 0.1 * (1 + clock.now))  # a machine that only gets slower
    b = subject("b", clock, lambda batch: 0.2 * (1 + clock.now))
    run = measure([a, b], rounds=20, min_time=0.01)
    drifting = subject_of(run, "a").samples
    assert drifting[-1] > 10 * drifting[0]
    compared = ratio(subject_of(run, "b").samples, drifting)
    assert compared.low < 2.5
    assert compared.high > 1.6
    assert run.noise_floor is not None
    assert run.noise_floor.low <= 1 <= run.noise_floor.high


def test_the_noise_floor_can_be_recomputed_from_the_stored_samples(clock: Clock, tmp_path: Path) -> None:
    noise = random.Random(1)
    noisy = subject("a", clock, lambda batch: 0.1 + 0.01 * noise.random())
    run, stored = kept(tmp_path, [noisy], rounds=8, min_time=0.1)
    rows = {row.quantity: row for row in stored.records()}
    assert ratio(rows["latency_again"].samples, rows["latency"].samples) == run.noise_floor
    assert rows["latency"].subject == rows["latency_again"].subject == "a"
    assert rows["latency"].unit == "s"
    assert rows["latency"].conditions == CONDITIONS
    assert rows["latency"].environment == run.environment
    assert rows["latency"].time == run.started
    assert any("seed 0" in note for note in rows["latency"].notes)


def test_the_same_seed_gives_the_same_order(clock: Clock) -> None:
    def order(seed: int) -> list[str]:
        steps: list[NextStep] = []
        subjects = [subject(name, clock, steady(0.1)) for name in "abcd"]
        measure(subjects, rounds=4, min_time=0.1, seed=seed, on_progress=steps.append)
        return order_of(steps)

    assert order(3) == order(3) != order(4)


def test_a_subject_that_cannot_be_built_leaves_the_others_alone(clock: Clock) -> None:
    def broken() -> nn.Module:
        raise MeasureError("weights are missing")

    bad = TimedModel(name="bad", build=broken, conditions=CONDITIONS)
    run = measure([bad, subject("good", clock, steady(0.1))], rounds=2, min_time=0.1)
    assert subject_of(run, "bad").failure == "weights are missing"
    assert subject_of(run, "bad").samples == ()
    assert len(subject_of(run, "good").samples) == 2
    assert run.reference == subject_of(run, "good")


def test_a_subject_that_breaks_half_way_has_no_figure(clock: Clock) -> None:
    calls = [0]

    def breaks(batch: int) -> float:
        calls[0] += 1
        if calls[0] > 12:
            raise ValueError("shape\nmismatch")
        return 0.1

    run = measure(
        [subject("breaks", clock, breaks), subject("works", clock, steady(0.1))], rounds=9, min_time=0.1
    )
    assert subject_of(run, "breaks").failure == "ValueError: shape"
    assert subject_of(run, "breaks").samples == ()
    assert len(subject_of(run, "works").samples) == 9
    assert run.reference == subject_of(run, "works")
    assert (run.twin, run.noise_floor) == ((), None)


def test_conditions_that_cannot_be_met_are_a_failure_of_that_subject(clock: Clock) -> None:
    other = replace(subject("other", clock, steady(0.1)), conditions=replace(CONDITIONS, runtime="tflite"))
    run = measure([subject("a", clock, steady(0.1)), other], rounds=1, min_time=0.1)
    assert (subject_of(run, "other").failure or "").startswith("runtime 'tflite' is not known")
    assert subject_of(run, "a").failure is None


def test_when_nothing_works_the_run_says_so(clock: Clock) -> None:
    other = replace(subject("other", clock, steady(0.1)), conditions=replace(CONDITIONS, runtime="tflite"))
    run = measure([other])
    assert (run.reference, run.rounds, run.interrupted) == (None, 0, False)


def fits(limit: int) -> Callable[[int], float]:
    def cost(batch: int) -> float:
        if batch > limit:
            raise torch.OutOfMemoryError("full")
        return 0.01 * batch

    return cost


def test_out_of_memory_halves_the_batch_and_says_so(clock: Clock) -> None:
    run = measure([subject("big", clock, fits(20), batch=64)], rounds=2, min_time=0.1)
    timing = subject_of(run, "big")
    assert timing.conditions.batch_size == 16
    assert timing.notes == ("out of memory at batch 64: timed at batch 16",)
    assert timing.samples == pytest.approx([0.16, 0.16])


def test_out_of_memory_at_one_image_is_a_failure(clock: Clock) -> None:
    run = measure([subject("huge", clock, fits(0), batch=8)], rounds=2, min_time=0.1)
    assert subject_of(run, "huge").failure == "out of memory at batch 1"
    assert subject_of(run, "huge").notes == ()


def test_out_of_memory_between_rounds_starts_over_so_that_samples_still_pair(
    clock: Clock, tmp_path: Path
) -> None:
    calls = [0]

    def tightens(batch: int) -> float:
        calls[0] += 1
        if calls[0] > 10 and batch > 4:
            raise torch.OutOfMemoryError("full")
        return 0.1 * batch

    subjects = [subject("a", clock, steady(0.1)), subject("b", clock, tightens, batch=8)]
    steps: list[NextStep] = []
    run, stored = kept(tmp_path, subjects, rounds=7, on_progress=steps.append)
    assert subject_of(run, "b").conditions.batch_size == 4
    assert subject_of(run, "b").samples == pytest.approx([0.4] * 7)
    assert len(subject_of(run, "a").samples) == 7
    order = schedule_rounds(["a", "b", "a (again)"], 7, random.Random(0))
    assert order_of(steps)[-21:] == [label for labels in order for label in labels]
    assert subject_of(stored, "b").samples == subject_of(run, "b").samples
    assert [s.conditions.batch_size for s in stored.subjects] == [4, 4, 4]


def test_ctrl_c_keeps_the_finished_rounds(clock: Clock, tmp_path: Path) -> None:
    seen: list[NextStep] = []

    def interrupt(progress: NextStep) -> None:
        seen.append(progress)
        if all(step.text.startswith("round 4 of 9") for step in seen[-2:]):
            raise KeyboardInterrupt

    subjects = [subject("a", clock, steady(0.1)), subject("b", clock, steady(0.2))]
    run, stored = kept(tmp_path, subjects, rounds=9, min_time=0.1, on_progress=interrupt)
    assert (run.rounds, run.interrupted) == (3, True)
    assert [subject.samples for subject in stored.subjects] == [subject.samples for subject in run.subjects]
    assert [len(subject.samples) for subject in run.timed] == [3, 3]
    assert run.noise_floor is not None


@pytest.mark.parametrize("phase", ["preparing", "round 1 of"])
def test_ctrl_c_before_a_round_is_finished_leaves_no_figures(clock: Clock, phase: str) -> None:
    def interrupt(progress: NextStep) -> None:
        if progress.text.startswith(phase):
            raise KeyboardInterrupt

    run = measure([subject("a", clock, steady(0.1))], on_progress=interrupt)
    assert (run.rounds, run.interrupted, run.reference, run.twin) == (0, True, None, ())
    assert (run.timed[0].failure or "").startswith("interrupted before the first round")


def test_a_subject_that_breaks_is_missing_from_later_rounds_alone(clock: Clock, tmp_path: Path) -> None:
    calls = [0]

    def breaks(batch: int) -> float:
        calls[0] += 1
        if calls[0] > 12:
            raise ValueError("shape")
        return 0.1

    subjects = [subject("works", clock, steady(0.1)), subject("breaks", clock, breaks)]
    run, stored = kept(tmp_path, subjects, rounds=9, min_time=0.1)
    assert subject_of(run, "breaks").samples == ()
    lines = stored.path.read_text().splitlines()
    assert 0 < sum('"works"' in line and '"breaks"' in line for line in lines[1:]) < 9
    assert subject_of(stored, "works").samples == subject_of(run, "works").samples
    assert stored.failures.keys() == {"breaks"}


def test_nothing_is_kept_when_nothing_works(clock: Clock, tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        measure([subject("huge", clock, fits(0))], rounds=2, writer=writer)
    assert store.list_runs(tmp_path) == []


def test_a_keeper_that_fails_ends_no_run_and_is_named(clock: Clock) -> None:
    class Full:
        rounds = 0

        def begin(self, run: Run) -> None:
            assert [s.quantity for s in run.subjects] == ["latency", "latency_again"]

        def add_round(self, number: int, samples: Mapping[str, float]) -> None:
            self.rounds += 1
            if number == 2:
                raise OptionError("no space left")

    keeper = Full()
    run = measure([subject("a", clock, steady(0.1))], rounds=7, min_time=0.1, writer=keeper)
    assert len(subject_of(run, "a").samples) == 7
    assert (run.unkept, keeper.rounds) == ("no space left", 3)


def test_progress_tells_every_step_and_when_it_ends(clock: Clock) -> None:
    seen: list[NextStep] = []
    measure([subject("a", clock, steady(0.1))], rounds=2, min_time=0.1, on_progress=seen.append)
    assert [(p.text.partition(",")[0], p.done) for p in seen] == [
        ("preparing a", None),
        ("round 1 of 2", 0.0),
        ("round 1 of 2", 0.0),
        ("round 2 of 2", 0.5),
        ("round 2 of 2", 0.5),
    ]
    assert (seen[1].eta, seen[0].eta) == (None, None)
    assert all(p.eta is not None and p.eta >= 0 for p in seen[2:])


def test_conditions_share_one_built_model_and_have_labels_of_their_own(clock: Clock) -> None:
    built = []

    def build() -> nn.Module:
        built.append(1)
        return Costly(clock, lambda batch: 0.1 * batch)

    changes: list[dict[str, Any]] = [{"batch_size": 1}, {"batch_size": 8}, {"dtype": "bf16"}]
    subjects = [
        TimedModel(name="net", build=build, conditions=replace(CONDITIONS, **change)) for change in changes
    ]
    steps: list[NextStep] = []
    run = measure(subjects, rounds=2, min_time=0.1, on_progress=steps.append)
    assert len(built) == 1
    assert [subject.name for subject in run.timed] == ["net"] * 3
    labels = ["net (batch 1, fp32)", "net (batch 8, fp32)", "net (batch 4, bf16)"]
    assert [subject.label for subject in run.timed] == labels
    assert set(order_of(steps)) >= {subject.label for subject in run.timed}


@pytest.mark.parametrize("layouts", [("contiguous", "channels_last"), ("channels_last", "contiguous")])
def test_models_of_one_run_have_each_their_own_memory_layout(layouts: tuple[str, str]) -> None:
    seen: list[tuple[str, str]] = []

    def layout_of(tensor: Tensor) -> str:
        return "contiguous" if tensor.is_contiguous() else "channels_last"

    class Probe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            seen.append((layout_of(x), layout_of(self.conv.weight)))
            return self.conv(x)

    subjects = [
        TimedModel(name="net", build=Probe, conditions=replace(CONDITIONS, memory_format=layout))
        for layout in layouts
    ]
    run = measure(subjects, rounds=1, min_time=1e-4)
    assert not run.failures
    assert list(dict.fromkeys(seen)) == [(layout, layout) for layout in layouts]


def test_the_model_runs_as_the_conditions_say() -> None:
    seen = set()

    class Probe(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.add((tuple(x.shape), x.dtype, torch.get_num_threads(), torch.is_inference_mode_enabled()))
            assert not self.training
            return x

    conditions = replace(CONDITIONS, img_size=(6, 9), batch_size=2, dtype="bf16", threads=3)
    before = torch.get_num_threads()
    probe = TimedModel(name="probe", build=Probe, conditions=conditions, channels=5)
    run = measure([probe], rounds=1, min_time=1e-4)
    assert run.timed[0].failure is None
    assert seen == {((2, 5, 6, 9), torch.bfloat16, 3, True)}
    assert torch.get_num_threads() == before


def test_a_subject_that_never_gets_steady_says_so(clock: Clock) -> None:
    flip = [False]

    def restless(batch: int) -> float:
        flip[0] = not flip[0]
        return 0.2 if flip[0] else 0.4

    run = measure([subject("a", clock, restless)], rounds=1, min_time=0.1)
    assert run.timed[0].notes[0].startswith("timings still drift after")


def test_real_models_are_told_apart() -> None:
    small = TimedModel(name="small", build=lambda: nn.Conv2d(3, 4, 3), conditions=CONDITIONS)
    large_conditions = replace(CONDITIONS, img_size=(96, 96))
    large = TimedModel(name="large", build=lambda: nn.Conv2d(3, 64, 7), conditions=large_conditions)
    run = measure([small, large], rounds=6, min_time=0.005)
    assert ratio(subject_of(run, "large").samples, subject_of(run, "small").samples).verdict == "slower"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": 0}, "rounds 0: a number from 1 to 100,000; 6 or more resolve"),
        ({"min_time": 0.0}, "min_time 0.0"),
        ({"min_time": float("inf")}, "min_time inf"),
        ({"min_time": float("nan")}, "min_time nan"),
        ({"min_time": 1e9}, "min_time 1000000000.0: .* at most 3600"),
        ({"rounds": 10**18}, "rounds 1000000000000000000: a number from 1 to 100,000"),
        ({"models": []}, "no models: name"),
    ],
)
def test_a_run_that_cannot_be_is_refused(clock: Clock, change: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        measure(**{"models": [subject("a", clock, steady(0.1))], **change})  # type: ignore[arg-type]


def test_the_same_thing_twice_is_refused(clock: Clock) -> None:
    with pytest.raises(OptionError, match="'a' is given 2 times under the same conditions"):
        measure([subject("a", clock, steady(0.1)), subject("a", clock, steady(0.2))])


def test_single_passes_are_spread_over_the_rounds_and_stored(clock: Clock, tmp_path: Path) -> None:
    calls: list[int] = []

    def cost(batch: int) -> float:
        calls.append(batch)
        return 0.01 * len(calls)

    models = [subject("a", clock, cost), subject("b", clock, steady(0.2))]
    run, again = kept(tmp_path, models, rounds=4, min_time=0.001, passes=10)
    assert [len(run.passes_of(one)) for one in run.timed] == [12, 12]  # at least 10, as many in each round
    assert run.passes_of(subject_of(run, "b")) == pytest.approx([0.2] * 12)
    passes = run.passes_of(subject_of(run, "a"))
    assert list(passes) == sorted(passes)
    assert passes[3] > passes[2] + 0.011  # samples of another round lie between
    assert [again.passes_of(one) for one in again.timed] == [run.passes_of(one) for one in run.timed]
    assert not measure(models, rounds=2, min_time=0.001).passes_of(run.timed[0])


def test_an_interrupt_keeps_the_passes_of_finished_rounds(clock: Clock, tmp_path: Path) -> None:
    def stop(step: NextStep) -> None:
        if step.text.startswith("round 3"):
            raise KeyboardInterrupt

    models = [subject("a", clock, steady(0.1))]
    run, again = kept(tmp_path, models, rounds=4, min_time=0.01, passes=8, on_progress=stop)
    assert len(run.passes_of(run.timed[0])) == 4
    assert again.passes_of(again.timed[0]) == run.passes_of(run.timed[0])
