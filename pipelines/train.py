"""`handloom train CONFIG.yaml`: any model, by the one training loop, from a YAML of its task and its training."""

from __future__ import annotations

import logging
from collections.abc import Callable

from accelerate.utils import set_seed

from recon import training as loop

logger = logging.getLogger(__name__)


def train(*, task: Callable[[], loop.TrainingTask], training: loop.TrainingConfig) -> int:
    """Train any model from its YAML file; the same command goes on after a stop.

    Args:
        task: the model with its data and loss, as `class_path` and `init_args`.
        training: how long, how fast and where to.

    Returns:
        0; a run that was stopped early raises `TrainingInterrupted`, whose exit code is 1.
    """
    # Before the task exists, so that the first weights belong to the seed too.
    set_seed(training.seed)
    folder = loop.train(task(), training)
    logger.info("The trained model is in %s.", folder)
    return 0
