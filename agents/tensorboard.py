"""Training curves for TensorBoard, under the tags that Stable-Baselines3 uses."""

import math
import time
from pathlib import Path
from typing import Any, Self

from agents.rollout import Progress


class TensorBoardLogger:
    """Writes one run; the x axis is the number of decisions.

    Args:
        folder: of the run; made if needed.
        resumed_at: decisions at which the run goes on that is in the folder already. What was logged beyond them, by a
            training that then crashed or was killed, disappears from the curves.

    Raises:
        ImportError: tensorboard isn't installed.
    """

    def __init__(self, folder: str | Path, resumed_at: int | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # costs a second: only where it is used
        except ImportError as error:
            raise ImportError("training logs need tensorboard: pip install tensorboard") from error
        if resumed_at is not None:
            _wait_for_a_later_second(Path(folder))
        purge = None if resumed_at is None else resumed_at + 1
        self._writer: Any = SummaryWriter(str(folder), purge_step=purge)

    def log(self, progress: Progress) -> None:
        """Write one round."""
        scalars = {
            "rollout/ep_rew_mean": progress.mean_return,
            "rollout/ep_len_mean": progress.mean_length,
            "rollout/exploration_rate": progress.epsilon,
            "train/loss": progress.loss,
            "train/mean_value": progress.mean_value,
            "train/learning_rate": progress.learning_rate,
            "train/n_updates": progress.updates,
            "time/fps": progress.decisions_per_second,
            "time/episodes": progress.episodes,
        }
        for tag, value in scalars.items():
            if math.isfinite(value):
                self.scalar(tag, value, progress.decisions)

    def scalar(self, tag: str, value: float, decisions: int) -> None:
        """Write one point, for instance of ``eval/mean_reward``."""
        self._writer.add_scalar(tag, value, decisions)

    def close(self) -> None:
        """Flush and close the run's file."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _wait_for_a_later_second(folder: Path) -> None:
    """Wait at most a second: TensorBoard reads files in the order of their names, which begin with whole seconds."""
    latest = max((int(path.stat().st_ctime) for path in folder.glob("events.out.tfevents.*")), default=0)
    while int(time.time()) <= latest < time.time() + 1:
        time.sleep(0.05)
