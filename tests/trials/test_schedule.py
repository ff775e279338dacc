"""The order of trials and the look-up of stored results."""

from saevit.trials.schedule import order_trials
from tests.trials.squares_plan import MODELS


def test_all_models_run_with_a_seed_before_the_next_seed() -> None:
    trials = order_trials(MODELS, 2)
    assert [trial.model for trial in trials] == [*MODELS, *MODELS]
    assert [trial.seed for trial in trials] == [0, 0, 0, 1, 1, 1]


def test_a_network_is_trained_once_for_all_its_names() -> None:
    names = ("timm:resnet18.a1_in1k", "timm:resnet18.tv_in1k", "saevit_pico", "saevit_pico:classes=10")
    assert [trial.model for trial in order_trials(names, 1)] == ["timm:resnet18.a1_in1k", "saevit_pico"]
