"""What every test shares: one thread per process, no display, and the real readings where they are at hand."""

import os
from pathlib import Path

# Workers run side by side, so each keeps to one thread. Set before NumPy, numba or torch is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slow tests first, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


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
