"""Stage-1 features: what a frozen backbone gives for each row, once per trunk, shared by methods and seeds."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hadamard_glue.backbones.head import pooled
from hadamard_glue.backbones.loading import Backbone
from hadamard_glue.errors import InputError
from hadamard_glue.glue.batches import collate, eval_batches, train_batches
from hadamard_glue.glue.encoding import Encoded
from hadamard_glue.training.device import Device
from hadamard_glue.training.loop import Batch, predict

_FORMAT = 1


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
        self.features = features

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
    """
    arithmetic = f"{device.torch_device.type} {device.precision} {batch_size}"
    key = hashlib.sha256(f"{_FORMAT} {content} {rows.encoded.split} {arithmetic}".encode()).hexdigest()[:32]
    path = folder / f"{key}.npy"
    found = _read(path, len(rows))
    if found is not None:
        return found
    backbone.model.eval()
    features = predict(lambda batch: pooled(backbone.model, backbone.anatomy, batch), rows, batch_size, device)
    _write(path, features)
    return features


def _write(path: Path, features: NDArray[np.float32]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as stream:
            try:
                np.save(stream, features, allow_pickle=False)
                stream.flush()
                os.replace(stream.name, path)
            finally:
                Path(stream.name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path.parent}: the cache of features cannot be written ({error}); "
            "set HADAMARD_GLUE_CACHE to a folder that can"
        ) from error


def _read(path: Path, rows: int) -> NDArray[np.float32] | None:
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError):  # cut short, or empty: made again
        return None
    return features if len(features) == rows else None


def _indices(encoded: Encoded, batch_size: int, rng: np.random.Generator | None) -> Iterator[NDArray[np.int64]]:
    if rng is None:
        return eval_batches(encoded.lengths, batch_size)
    return train_batches(encoded.lengths, batch_size, rng)
