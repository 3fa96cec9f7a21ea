"""Files that are written whole or not at all, and what killed programs leave of them."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

STALE = 3600  # seconds: what nobody has written to for so long is of a program that is gone


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """The name of a new file in the folder of `path`; if it was not moved, it is removed.

    Nobody else has this name: several programs may write at once. What killed ones left of such
    files is removed too.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(path.parent, f"{escape(path.name)}.????????.part")
    try:
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A new file that takes the place of `path`, in one operation, if nothing went wrong.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole(Path(folder, "a.txt")) as temporary:
    ...         _ = temporary.write_text("all of it")
    ...     os.listdir(folder)
    ['a.txt']
    """
    with beside(path) as temporary:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # or a crash of the machine may leave a name without content
        os.replace(temporary, path)


def remove_stale(folder: Path, pattern: str) -> None:
    """Remove the files and folders of this pattern that nobody writes to any more."""
    for left in folder.glob(pattern):
        with suppress(OSError):  # somebody else removes it
            written = max(path.stat().st_mtime for path in (left, *left.rglob("*")))
            if time.time() - written > STALE:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
