"""What every test shares: one thread a process, compiled kernels, no display, the real readings if there are any."""

import os
from pathlib import Path

# Workers run side by side, so each keeps to one thread. Set before NumPy, numba or torch is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest  # noqa: E402

MANY_TESTS = 1_000  # a run of fewer compiles only what it needs
# Heavy and light ones in turn, so that two workers are busy for about as long as each other.
ENTRY_POINTS = ("per_device", "play", "full", "branch", "compact", "solve", "joint")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slow tests first, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(tryfirst=True)  # no test begins before all workers have reported what they collected
def pytest_collection_finish(session: pytest.Session) -> None:
    """In a run of the whole suite each worker compiles a share of the kernels; numba's cache gives it to the others."""
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if worker and workers > 1 and len(session.items) > MANY_TESTS:
        for name in ENTRY_POINTS[int(worker.removeprefix("gw")) % workers :: workers]:
            compile_entry_point(name)


def compile_entry_point(name: str) -> None:
    """Call compiled code on a tiny problem: of the kernels with the paper's inference and with kriging."""
    import numpy as np  # here, so that runs without the kernels do not load them

    from aq_gym.episodes import Episodes, Layers
    from aq_gym.problem import Problem

    if name == "solve":
        from baselines.dynamic_programming import solve

        for inference in ("paper", "hidden"):
            solve("pku2018", 0, 2, 1, 2, inference=inference)
        return
    observation = {"full": "full", "joint": "full", "per_device": "per_device"}.get(name, "compact")
    for inference in ("paper", "level-aware"):
        problem = Problem.create("pku2018", [0, 1], 2, 1, 2, inference=inference)
        episodes = Episodes(problem, 1, observation=observation, joint=name == "joint")
        if name not in ("play", "branch"):
            episodes.observe()
            continue
        episodes.slot[:] = 1  # as if it had begun: beginning it would compile another kernel
        layers = Layers(np.array([32, 1]), np.zeros(33, np.float32))
        episodes.play(layers) if name == "play" else episodes.branch(layers, np.zeros((1, 1), np.int64))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def pku_data() -> Path:
    """The folder with the Peking University readings; a test that asks for it is skipped where they are missing."""
    mirror = os.environ.get("AQ_GYM_DATA")
    if not mirror:
        pytest.skip("AQ_GYM_DATA is unset: it names the folder that contains pku2018/ with the real readings")
    folder = Path(mirror) / "pku2018"
    if not folder.is_dir():
        pytest.skip(f"AQ_GYM_DATA={mirror} contains no folder pku2018")
    return folder
