"""Tuned and adapted policies, written as numbers and read again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import baselines
from aq_gym.problem import Problem
from baselines.heuristics.greedy import Greedy
from baselines.heuristics.index import WIDTHS, Index
from baselines.heuristics.simple import Random, Staggered
from baselines.learners.shipped import GENERALIST, load_trained
from baselines.packing import LayeredPolicy, added, layers_of, matrices
from baselines.playing import play_problem
from scripts.served import policy_for

TOWN = Problem.create("tainan2017", [0, 20, 40], 24, 6, 8)


def policies() -> dict[str, Any]:
    index = Index(TOWN, -1.0, {"scarcity": 8.0})
    base = layers_of(index)
    assert base is not None
    other = matrices(np.array([32, 4, 1]), np.linspace(-1, 1, 32 * 4 + 4 + 4 + 1, dtype=np.float32))
    return {
        "index": index,
        "greedy": Greedy(TOWN, 0.3, 2.0),
        "staggered": Staggered(TOWN),
        "layers": LayeredPolicy(TOWN, added(base, 1.0, other, 0.01)),
        "network": load_trained(GENERALIST),
    }


@pytest.mark.parametrize("kind", ["index", "greedy", "staggered", "layers", "network"])
def test_what_is_read_plays_as_what_was_written(kind: str, tmp_path: Path) -> None:
    policy = policies()[kind]
    path = baselines.save_policy(policy, TOWN, tmp_path / "new" / kind)
    again = policy_for(TOWN, str(path.parent))  # as scripts.serve --policy does
    one, other = (play_problem(x, TOWN, 16, 0).joint_error for x in (policy, again))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_another_problem_and_what_holds_no_numbers_are_refused(tmp_path: Path) -> None:
    baselines.save_policy(Staggered(TOWN), TOWN, tmp_path)
    with pytest.raises(ValueError, match=r"made for another problem: its horizon is 24, here 30; name the id"):
        baselines.load_policy(tmp_path, Problem.create("tainan2017", [0, 20, 40], 30, 6, 8))
    with pytest.raises(TypeError, match="a Random cannot be written as numbers; expected staggered, greedy or index"):
        baselines.save_policy(Random(TOWN), TOWN, tmp_path)
    with pytest.raises(ValueError, match="expected a policy that"):
        baselines.load_policy(tmp_path / "nothing", TOWN)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "magic"}, "unknown kind"),
        ({"problem": "x"}, "expected a policy that"),
        ({"weights": [1.0]}, "weights: expected finite numbers, as many as"),
        ({"weights": [float("nan")] * 33}, "weights: expected finite numbers"),
        ({"widths": [5, 1], "weights": [0.0] * 6}, "widths: expected 32 inputs"),
        ({"widths": "x"}, "damaged"),
        ({"kind": "index", "constant": 1.0}, "damaged"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    assert WIDTHS.tolist() == [32, 1]
    path = baselines.save_policy(policies()["layers"], TOWN, tmp_path)
    content = json.loads(path.read_text()) | {"widths": [32, 1], "weights": [0.0] * 33}
    path.write_text(json.dumps(content | change))
    with pytest.raises(ValueError, match=why):
        baselines.load_policy(path, TOWN)
