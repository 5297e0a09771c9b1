"""The number of requests per batch: a fixed one, or one that the model chooses."""

from typing import Literal

AUTO: Literal["auto"] = "auto"
"""The value of a run's `batch_size` that lets the model choose."""
LARGEST_BATCH = 64
"""The most requests that a model is given to try."""
