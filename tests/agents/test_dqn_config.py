import dataclasses
import json

import pytest

from agents import DQNConfig


def test_default_is_the_class_itself():
    assert DQNConfig.named("default") == DQNConfig()
    assert DQNConfig.names() == ["default", "fast", "linear", "paper"]


def test_paper_is_the_papers_own_form():
    paper = DQNConfig.named("paper")
    assert (paper.returns, paper.double, paper.duelling) == ("one_step", False, False)
    assert DQNConfig.named("fast").total_decisions < DQNConfig().total_decisions


def test_json_round_trip_and_overrides():
    config = DQNConfig.named("fast", hidden=[32], learning_rate=2)
    assert config.hidden == (32,) and config.learning_rate == 2
    assert DQNConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.replace(hidden=[8, 8]).hidden == (8, 8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.double = False


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lerning_rate": 1.0}, ValueError, "unknown setting 'lerning_rate'.*did you mean learning_rate.*known: "),
        ([], TypeError, "DQNConfig must be made from names and values"),
        ({3: 1}, ValueError, "unknown setting 3"),
        ({"batch_size": 10**5_000}, ValueError, "batch_size must be at most 1,000,000,000,000"),
        ({"learning_rate": 10**400}, ValueError, "learning_rate must be at most"),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate must be above 0 and finite"),
        ({"replay_ratio": float("inf")}, ValueError, "replay_ratio must be at least 0"),
        ({"threads": 10**9}, ValueError, "threads must be at most 1,024"),
        ({"set_encoder": [0]}, ValueError, "set_encoder must be sizes of at least 1"),
        ({"unread": [1]}, ValueError, "DQNConfig.unread was retired: leave it out"),
        ({"priority": 0.6}, ValueError, "DQNConfig.priority was retired: leave it out, got 0.6"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be int, got 2.5"),
        ({"batch_size": True}, TypeError, "batch_size must be int"),
        ({"double": 1}, TypeError, "double must be bool"),
        ({"hidden": [64, "x"]}, TypeError, "hidden must be a list of int"),
        ({"hidden": 64}, TypeError, "hidden must be a list of int"),
        ({"returns": "td"}, TypeError, "returns must be one of 'one_step', 'lambda', got 'td'"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"discount": 1.5}, ValueError, "discount must be between 0 and 1"),
        ({"discount": float("nan")}, ValueError, "discount must be between 0 and 1"),
        ({"target_rate": 0.0}, ValueError, "target_rate must be above 0"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be above 0"),
        ({"hidden": [0]}, ValueError, "hidden must be a list of sizes of at least 1"),
        ({"exploration_weights": [1.0, 0.0]}, ValueError, "exploration_weights must be above 0 each"),
        ({"network": "linear"}, ValueError, "duelling=False"),
    ],
)
def test_nonsense_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        DQNConfig.from_dict(settings)


def test_older_files_hold_retired_settings_at_their_defaults():
    old = {"priority": 0.0, "importance": 1.0, "huber_delta": None, "unread": [], "n_steps": 5, "hidden": [7]}
    assert DQNConfig.from_dict(old) == DQNConfig(hidden=(7,))


def test_a_wrong_type_is_of_both_kinds():
    """Python's kind, and the kind that commands answer with its message."""
    with pytest.raises(TypeError) as caught:
        DQNConfig(batch_size="many")
    assert isinstance(caught.value, ValueError)
    assert DQNConfig(max_gradient_norm=float("inf")).max_gradient_norm == float("inf")


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match="no configuration 'papr'; known: default, fast, linear, paper"):
        DQNConfig.named("papr")
