"""Image data sets through torchvision: found in the data folder, else downloaded into it.

torchvision takes any file of the right name for a whole one. So a download goes into a temporary
folder of its own and its files move to the data folder once they have been read: a failed or
interrupted download leaves nothing behind, and two at a time do not meet.
"""

import os
import shutil
import socket
import tempfile
import warnings
from pathlib import Path

import numpy as np

from ._npz import ARRAYS

CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}


def load(name: str, folder: Path) -> dict[str, np.ndarray]:
    """The arrays x_train, y_train, x_test and y_test of the data set `name`, a key of `CLASSES`.

    Args:
        name: of the data set, in the library's spelling.
        folder: the data folder; made if there is something to download.

    Returns:
        dict: x uint8 (N, H, W) or (N, H, W, C), y int64 (N,).

    Raises:
        RuntimeError: the data set is not there and cannot be downloaded.

    Damaged files are removed and a failed download is tried once more, both with a warning.
    """
    try:
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
        return _read(dataset, folder)  # all there: nothing is written, the folder may be read-only
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
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
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
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor
    from torchvision.datasets.utils import check_integrity

    if md5 is not None:
        return check_integrity(path, md5)
    try:
        read_sn3_pascalvincent_tensor(path)  # the file's header says how long it has to be
        return True
    except Exception:  # AssertionError, RuntimeError, ValueError, by where the file ends
        return False


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
