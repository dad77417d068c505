"""Stage 2 behind the prefix: what the frozen layers below the lowest trained one give for each row, computed once.

As with the features of stage 1 these layers are in eval mode, so their dropout does not act:
``stage2.prefix=eval_cached`` is another experiment than ``live``, and part of a run's identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hadamard_glue.backbones.loading import Backbone
from hadamard_glue.backbones.prefix import prefix_states
from hadamard_glue.training.device import Device
from hadamard_glue.training.features import TextRows, cached_matrix
from hadamard_glue.training.loop import Batch, TrainingError, to_device

#: Of the files, and of how states are computed.
_FORMAT = 4


class PrefixRows(TextRows):
    """Encoded text with the states of its tokens behind the prefix, in the same order of batches as the text alone."""

    def __init__(self, text: TextRows, states: NDArray[np.float32]) -> None:
        super().__init__(text.encoded, text.pad_token_id)
        self.states = np.asarray(states)  # mapped still

    def batches(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Batches as those of the text, with ``states`` [batch, longest, hidden] float32, zero where padded."""
        for indices, batch in super().batches(batch_size, rng):
            mask = batch["attention_mask"].numpy().astype(bool)
            states = np.zeros((*mask.shape, self.states.shape[1]), dtype=np.float32)
            states[mask] = self.states[_tokens(self.encoded.offsets, indices)]
            yield indices, {**batch, "states": torch.from_numpy(states)}


def prefix_rows(
    backbone: Backbone, rows: TextRows, layers: int, content: str, folder: Path, batch_size: int, device: Device
) -> PrefixRows:
    """The rows with their states, memory-mapped from the cache, computed when absent.

    Args:
        backbone: the model, already on the device; what it trains lies behind the prefix.
        layers: of the prefix.
        content, folder: as for :func:`hadamard_glue.training.features.backbone_features`.

    Raises:
        InputError: the cache cannot be written.
        TrainingError: a state that is not finite; nothing is kept.
    """
    name = f"prefix {_FORMAT} {layers} {content} {rows.encoded.split}"
    count = int(rows.encoded.offsets[-1])

    def fill(matrix: NDArray[np.float32]) -> None:
        _fill(matrix, backbone, rows, layers, batch_size, device)

    width = backbone.model.config.hidden_size
    return PrefixRows(rows, cached_matrix(name, folder, (count, width), batch_size, device, fill))


def _fill(
    matrix: NDArray[np.float32], backbone: Backbone, rows: TextRows, layers: int, batch_size: int, device: Device
) -> None:
    backbone.model.eval()
    with torch.inference_mode(), device.autocast():
        for indices, batch in rows.batches(batch_size, None):
            here = to_device(batch, device)
            states = prefix_states(backbone.model, backbone.anatomy, layers, here).float()
            known = states[here["attention_mask"].bool()].cpu().numpy()
            if not np.isfinite(known).all():
                raise TrainingError("the model gives values that are not finite")
            matrix[_tokens(rows.encoded.offsets, indices)] = known


def _tokens(offsets: NDArray[np.int64], indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of all tokens of the rows, row after row."""
    return np.concatenate([np.arange(offsets[row], offsets[row + 1]) for row in indices])
