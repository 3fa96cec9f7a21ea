"""The layout all image data sets come in: four arrays, in an .npz or from elsewhere.

x_train, x_test     uint8, (N, H, W) or (N, H, W, C) with C = 1 or 3
y_train, y_test     integers, (N,), 0 or more; -1 means unlabelled

N may differ between training and test, the shape of one image may not.
"""

from pathlib import Path

import numpy as np

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read(path: Path) -> dict[str, np.ndarray]:
    """The four arrays in the file; ValueError if it is not there, not an .npz, or lacks one."""
    if not path.is_file():
        raise ValueError(f"name must be the path of an .npz file; there is no file {path}")
    try:
        with np.load(path) as file:  # refuses pickled objects
            arrays = {array: file[array] for array in ARRAYS if array in file}
    except Exception as error:  # what a damaged zip raises depends on where the damage is
        raise ValueError(f"{path} must be an .npz of plain arrays, but: {error}") from error
    missing = [array for array in ARRAYS if array not in arrays]
    if missing:
        raise ValueError(f"{path} must hold {', '.join(ARRAYS)}; missing: {', '.join(missing)}")
    return arrays


def check(arrays: dict[str, np.ndarray], source, classes=None) -> None:
    """ValueError, naming `source` and the array, unless the arrays are as the module says.

    Args:
        arrays: the four.
        source: where they are from, for the message.
        classes: the names of the labels where they are known: no label may lie beyond them.
    """
    for half in ("train", "test"):
        _check_images(f"{source}: x_{half}", arrays[f"x_{half}"])
        _check_labels(f"{source}: y_{half}", arrays[f"y_{half}"], arrays[f"x_{half}"], classes)
    expected, got = arrays["x_train"].shape[1:], arrays["x_test"].shape[1:]
    if got != expected:
        raise ValueError(f"{source}: x_test must have x_train's image shape {expected}, got {got}")


def _check_images(what: str, x: np.ndarray) -> None:
    if x.dtype != np.uint8:
        raise ValueError(f"{what} must be uint8 (grey levels 0 ... 255), got {x.dtype}")
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)):
        raise ValueError(f"{what} must be (N, H, W) or (N, H, W, C), C = 1 or 3; got {x.shape}")
    if x.size == 0:
        raise ValueError(f"{what} must not be empty, got shape {x.shape}")


def _check_labels(what: str, y: np.ndarray, x: np.ndarray, classes) -> None:
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"{what} must be (N,) integers, got {y.dtype} of shape {y.shape}")
    if len(y) != len(x):
        raise ValueError(f"{what} must hold one label per image, {len(x)}, got {len(y)}")
    if y.min() < -1 or y.max() > np.iinfo(np.int64).max or (classes and y.max() >= len(classes)):
        upwards = f"to {len(classes) - 1}" if classes else "up"
        raise ValueError(
            f"{what} must be labels from 0 {upwards} (-1: unlabelled), got {y.min()} to {y.max()}"
        )
