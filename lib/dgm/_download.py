"""Image data sets through torchvision: found in the data folder, else downloaded into it.

torchvision takes any file of the right name for a whole one. So a download goes into a temporary
folder of its own and its files move to the data folder once they have been read: a failed or
interrupted download leaves nothing behind, and two at a time do not meet. What a killed one left is
removed by a later load.
"""

import hashlib
import math
import os
import shutil
import socket
import tempfile
import warnings
from pathlib import Path

import numpy as np

from ._files import remove_stale
from ._npz import ARRAYS

CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}
TEMPORARY = ".download-"

# MD5 sums of the published files once they are unpacked, by those of their archives
UNPACKED = {
    "f68b3c2dcbeaaa9fbdd348bbdeb94873": "6bbc9ace898e44ae57da46a324031adb",  # MNIST
    "d53e105ee54ea40749a09fcbcd1e9432": "a25bea736e30d166cdddb491f175f624",
    "9fb629c4189551a2d022fa330f9573f3": "2646ac647ad5339dbf082846283269ea",
    "ec29112dd5afa0611ce80d1b7f02629c": "27ae3e4e09519cfbb04c329615203637",
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d": "f4a8712d7a061bf5bd6d2ca38dc4d50a",  # Fashion-MNIST
    "25c81989df183df01b3e8a0aad5dffbe": "9018921c3c673c538a1fc5bad174d6f9",
    "bef4ecab320f06d8554ea6380940ec79": "8181f5470baa50b63fa0f6fddb340f0a",
    "bb300cfdad3c16e7a12a480ee83cd310": "15d484375f8d13e6eb1aabb0c3f46965",
}


def load(name: str, folder: Path) -> dict[str, np.ndarray]:
    """The arrays x_train, y_train, x_test and y_test of the data set `name`, a key of `CLASSES`.

    Args:
        name: of the data set, in the library's spelling.
        folder: the data folder; made if there is something to download.

    Returns:
        dict: x uint8 (N, H, W) or (N, H, W, C), y int64 (N,).

    Raises:
        RuntimeError: the data set is not there and cannot be downloaded.

    Damaged files are removed and a failed download is tried once more, both with a warning. Files
    of the right length that are not the published ones are read, with a warning.
    """
    try:
        remove_stale(folder, f"{TEMPORARY}*")
        import torchvision

        dataset = getattr(torchvision.datasets, CLASSES[name])
        return _read_or_download(dataset, folder)
    except Exception as error:  # ImportError, URLError, PermissionError, EOFError, ...
        raise RuntimeError(
            f"{name} cannot be had. {type(error).__name__}: {error}\n"
            f"Tried, in this order: {folder / name}.npz; torchvision's files in {folder}; "
            f"torchvision.datasets.{CLASSES[name]}(download=True), a second time if it failed.\n"
            f"What to do: connect to the network; or set DGM_DATA to a folder that holds {name}.npz"
            f" or torchvision's files, or that can be written to; or load 'digits', which needs no"
            f" download."
        ) from error


def _read_or_download(dataset: type, folder: Path) -> dict[str, np.ndarray]:
    try:
        # if all is there, nothing is written: the folder may be read-only
        arrays = _read(dataset, folder)
        _say_what_differs(dataset, folder)
        return arrays
    except (PermissionError, MemoryError):  # nothing is wrong with the files
        raise
    except Exception:  # missing or damaged: torchvision raises too many things to tell by
        _remove_damaged(dataset, folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _download(dataset, folder)
    except Exception as error:
        warnings.warn(
            f"the download of {dataset.__name__} failed ({type(error).__name__}: {error}); what "
            f"had arrived of it is removed; trying once more",
            stacklevel=2,
        )
    return _download(dataset, folder)


def _read(dataset: type, folder: Path, download: bool = False) -> dict[str, np.ndarray]:
    train = dataset(folder, train=True, download=download)
    test = dataset(folder, train=False, download=download)
    arrays = train.data, train.targets, test.data, test.targets  # tensors, arrays or lists
    return {name: np.asarray(array) for name, array in zip(ARRAYS, arrays, strict=True)}


def _download(dataset: type, folder: Path) -> dict[str, np.ndarray]:
    """Download into a temporary folder, read, then move the files into the data folder."""
    files = _files(dataset)
    # Inside the data folder, since a file moves at once only within one file system.
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as temporary:
        _transfer(shutil.copy, files, folder, Path(temporary))  # what is there is not fetched again
        patience = socket.getdefaulttimeout()
        socket.setdefaulttimeout(30)  # seconds; torchvision waits forever for a silent server
        try:
            arrays = _read(dataset, Path(temporary), download=True)
        finally:
            socket.setdefaulttimeout(patience)
        _transfer(os.replace, files, Path(temporary), folder)
    return arrays


def _transfer(how, files, source: Path, target: Path) -> None:
    for file in files:
        if (source / file).is_file():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            how(source / file, target / file)


def _remove_damaged(dataset: type, folder: Path) -> None:
    for file, md5 in _files(dataset).items():
        if (folder / file).is_file() and not _is_whole(folder / file, md5):
            (folder / file).unlink()
            warnings.warn(f"{folder / file} is damaged: removed", stacklevel=2)


def _is_whole(path: Path, md5: str | None) -> bool:
    from torchvision.datasets.utils import check_integrity

    return _has_its_length(path) if md5 is None else check_integrity(path, md5)


def _has_its_length(path: Path) -> bool:
    """Whether a file of MNIST's format is as long as it says: type, rank, the sizes, the data."""
    with path.open("rb") as file:
        kind, rank = file.read(3), int.from_bytes(file.read(1), "big")
        sizes = [int.from_bytes(file.read(4), "big") for _ in range(rank)]
    return kind == b"\0\0\x08" and path.stat().st_size == 4 + 4 * rank + math.prod(sizes)


def _say_what_differs(dataset: type, folder: Path) -> None:
    """Warn of unpacked files with other pixels or labels: torchvision compares archives only."""
    for archive, md5 in _files(dataset).items():
        if (expected := UNPACKED.get(md5)) is None:
            continue
        path = folder / archive.removesuffix(".gz")
        with path.open("rb") as file:
            got = hashlib.file_digest(file, "md5").hexdigest()
        if got != expected:
            warnings.warn(
                f"{path} is not the published file (MD5 {got}, expected {expected}): some of its "
                f"values differ. Remove it, and it is downloaded again",
                stacklevel=2,
            )


def _files(dataset: type) -> dict[str, str | None]:
    """torchvision's files of a data set, inside its folder, and their MD5 sums where known."""
    if hasattr(dataset, "resources"):  # MNIST and its like: MNIST/raw/<file>.gz, unpacked beside it
        archives = {f"{dataset.__name__}/raw/{file}": md5 for file, md5 in dataset.resources}
        return archives | {file.removesuffix(".gz"): None for file in archives}
    meta = (dataset.meta["filename"], dataset.meta["md5"])
    batches = [*dataset.train_list, *dataset.test_list, meta]
    return {dataset.filename: dataset.tgz_md5} | {
        f"{dataset.base_folder}/{file}": md5 for file, md5 in batches
    }
