"""Stage-1 features: what a frozen backbone gives for each row, once per trunk, shared by methods and seeds."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
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

_FORMAT = 6  # of the files, and of how features are computed


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
        content: digest of weights, rows and encoding. With what :func:`cached_matrix` adds, a run gives the same result
            whichever run filled the cache.
        folder: the cache's folder for features.

    Raises:
        InputError: the cache cannot be written.
        TrainingError: a feature that is not finite; nothing is kept.
    """
    backbone_width: int = backbone.model.config.hidden_size

    def fill(matrix: NDArray[np.float32]) -> None:
        backbone.model.eval()
        forward = functools.partial(pooled, backbone.model, backbone.anatomy)
        predict(forward, rows, batch_size, device, matrix)

    name = f"{_FORMAT} {content} {rows.encoded.split}"
    return cached_matrix(name, folder, (len(rows), backbone_width), batch_size, device, fill)


def cached_matrix(
    name: str,
    folder: Path,
    shape: tuple[int, int],
    batch_size: int,
    device: Device,
    fill: Callable[[NDArray[np.float32]], None],
) -> NDArray[np.float32]:
    """A matrix float32 of what a frozen model gives, memory-mapped from the cache, made when absent.

    Args:
        name: says what is in it; device, precision and batch size decide the last bits, so they join the key.
        fill: computes it into the array it is given.

    Raises:
        InputError: the cache cannot be written.
    """
    arithmetic = f"{device.torch_device.type} {device.precision} {batch_size}"
    path = folder / f"{hashlib.sha256(f'{name} {arithmetic}'.encode()).hexdigest()[:32]}.npy"
    matrix = read_matrix(path, shape[0])
    if matrix is None:
        try:
            with making(path):
                matrix = read_matrix(path, shape[0])  # another process may have made it while this one waited
                if matrix is None:
                    with new_matrix(path) as file:
                        fill(file.empty(shape))
                    matrix = read_matrix(path, shape[0])
        except OSError as error:
            raise InputError(
                f"{path.parent}: the cache of features cannot be written ({error}); "
                "set HADAMARD_GLUE_CACHE to a folder that can"
            ) from error
        if matrix is None:
            raise InputError(f"{path}: what was written to the cache is not what is read back")
    return matrix


def _indices(encoded: Encoded, batch_size: int, rng: np.random.Generator | None) -> Iterator[NDArray[np.int64]]:
    if rng is None:
        return eval_batches(encoded.lengths, batch_size)
    return train_batches(encoded.lengths, batch_size, rng)
