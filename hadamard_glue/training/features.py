"""Stage-1 features: what a frozen backbone gives for each row, once per trunk, shared by methods and seeds."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hadamard_glue.backbones.head import pooled
from hadamard_glue.backbones.loading import Backbone
from hadamard_glue.cache import making
from hadamard_glue.errors import InputError
from hadamard_glue.glue.batches import collate, eval_batches, train_batches
from hadamard_glue.glue.encoding import Encoded
from hadamard_glue.training.device import Device
from hadamard_glue.training.loop import Batch, predict
from hadamard_glue.training.matrix_file import new_matrix, read_matrix

_FORMAT = 2  # of the files, and of how features are computed


class TextRows:
    """Encoded text as training rows."""

    def __init__(self, encoded: Encoded, pad_token_id: int) -> None:
        self.encoded = encoded
        self.pad_token_id = pad_token_id

    def __len__(self) -> int:
        return len(self.encoded)

    def batches(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Batches of rows of like length, padded to the longest of each."""
        for indices in _indices(self.encoded, batch_size, rng):
            yield indices, collate(self.encoded, indices, self.pad_token_id)


class FeatureRows:
    """Features as training rows, in the same order of batches as the text they come from."""

    def __init__(self, encoded: Encoded, features: NDArray[np.float32]) -> None:
        self.encoded = encoded
        self.features = np.asarray(features)  # mapped still; a memmap's own indexing is slower

    def __len__(self) -> int:
        return len(self.encoded)

    def batches(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Batches ``features`` [batch, hidden] float32 with ``labels``."""
        for indices in _indices(self.encoded, batch_size, rng):
            features = torch.from_numpy(np.ascontiguousarray(self.features[indices]))
            yield indices, {"features": features, "labels": torch.from_numpy(self.encoded.labels[indices])}


def backbone_features(
    backbone: Backbone, rows: TextRows, content: str, folder: Path, batch_size: int, device: Device
) -> NDArray[np.float32]:
    """Pooled features [rows, hidden] float32 in eval mode, memory-mapped from the cache, computed when absent.

    Args:
        backbone: the frozen model, already on the device.
        content: digest of weights, rows and encoding. Device, precision and batch size decide the last bits, so they
            are in the key too: a run gives the same result whichever run filled the cache.
        folder: the cache's folder for features.

    Raises:
        InputError: the cache cannot be written.
        TrainingError: a feature that is not finite; nothing is kept.
    """
    arithmetic = f"{device.torch_device.type} {device.precision} {batch_size}"
    key = hashlib.sha256(f"{_FORMAT} {content} {rows.encoded.split} {arithmetic}".encode()).hexdigest()[:32]
    path = folder / f"{key}.npy"
    features = read_matrix(path, len(rows))
    if features is None:
        try:
            with making(path):
                features = read_matrix(path, len(rows))  # another process may have made it while this one waited
                if features is None:
                    features = _make(backbone, rows, path, batch_size, device)
        except OSError as error:
            raise InputError(
                f"{path.parent}: the cache of features cannot be written ({error}); "
                "set HADAMARD_GLUE_CACHE to a folder that can"
            ) from error
    return features


def _make(backbone: Backbone, rows: TextRows, path: Path, batch_size: int, device: Device) -> NDArray[np.float32]:
    backbone.model.eval()
    with new_matrix(path) as file:
        forward = functools.partial(pooled, backbone.model, backbone.anatomy)
        predict(forward, rows, batch_size, device, file.empty)
    features = read_matrix(path, len(rows))
    if features is None:
        raise OSError("what was written is not what is read back")
    return features


def _indices(encoded: Encoded, batch_size: int, rng: np.random.Generator | None) -> Iterator[NDArray[np.int64]]:
    if rng is None:
        return eval_batches(encoded.lengths, batch_size)
    return train_batches(encoded.lengths, batch_size, rng)
