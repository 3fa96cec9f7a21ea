"""Where a submission runs: what it sees of this machine, and what it reaches.

On Linux with bubblewrap (`apt install bubblewrap`) a submission's kernel sees Python, the library
and what was handed in, all read-only, and a small scratch folder: no network, no home, no process
but its own. Elsewhere it has a home and a folder of its own, and nothing stops a program that looks
for others.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dgm import data

LIBRARY = Path(data.__file__).parent
RECORDS = LIBRARY.parents[1] / "book" / "records"  # exercises may load what was recorded
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts")
SYSTEM += ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime")
SYSTEM += ("/sys/devices/system/cpu",)
SCRATCH = str(2**28)  # bytes of a folder in memory
LIBRARIES = ("OMP_", "MKL_", "OPENBLAS_", "DGM_", "LC_")  # variables of these are handed on
SAFE = "each submission runs in bubblewrap: no network, no files but the library and its own"
UNSAFE = """\
WARNING: bubblewrap does not work here ({why}), so submissions run with your rights. A student's
program can read solutions, FORGE THE MARKS of the whole class, and harm this machine. Grade on
Linux with bubblewrap (apt install bubblewrap), in a virtual machine if need be"""


@dataclass(frozen=True)
class Place:
    """The folders of one run; they are gone after it."""

    submission: Path  # what was handed in beside the notebook; read-only in bubblewrap
    home: Path
    sockets: Path  # over which the grader talks to the kernel


@contextmanager
def place(handed_in: Path) -> Iterator[Place]:
    """Lay out the folders for a run of what was handed in."""
    with tempfile.TemporaryDirectory(prefix="dgm-") as name:
        root = Path(name).resolve()
        for folder in ("home", "sockets"):
            (root / folder).mkdir()
        skip = shutil.ignore_patterns("*.ipynb")
        shutil.copytree(handed_in, root / "submission", symlinks=True, ignore=skip)
        yield Place(root / "submission", root / "home", root / "sockets")


def environment(where: Place, given: dict[str, str] = os.environ) -> dict[str, str]:
    """The variables that a submission gets: what its libraries need, and nothing else.

    Chapters' data sets may be read. `PYTHONSAFEPATH`: a handed-in torch.py is not torch.
    """
    kept = {k: v for k, v in given.items() if k.startswith(LIBRARIES) or k in ("LANG", "PATH")}
    if kept.get("DGM_DATASET", "").endswith(".npz"):
        kept["DGM_DATASET"] = str(Path(kept["DGM_DATASET"]).expanduser().absolute())
    return kept | {
        "HOME": str(where.home),
        "TMPDIR": str(where.home),
        "USER": "student",
        "PYTHONPATH": str(LIBRARY.parent),
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "CUDA_VISIBLE_DEVICES": "",  # nobody's marks depend on a GPU
        "DGM_DEVICE": "cpu",
        "DGM_DATA": str(data.folder().absolute()),
    }


def command(
    program: list[str], where: Place, variables: dict[str, str], name: str = "bwrap"
) -> list[str]:
    """The command line that runs a program in bubblewrap.

    >>> from dgm.assignment.sandbox import Place
    >>> line = command(["python"], Place(*map(Path, ("/t/in", "/t/home", "/t/so"))), {})
    >>> line[:2], line[-4:]
    (['bwrap', '--unshare-all'], ['--chdir', '/t/in', '--', 'python'])
    """
    line = [name, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    for key, value in variables.items():
        line += ["--setenv", key, value]
    for path in map(Path, SYSTEM):
        if path.is_symlink():  # /lib, where it is /usr/lib
            line += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            line += ["--ro-bind", str(path), str(path)]
    line += ["--proc", "/proc", "--dev", "/dev", "--size", SCRATCH, "--tmpfs", "/dev/shm"]
    line += ["--size", SCRATCH, "--tmpfs", "/tmp"]
    for path in readable(variables):
        line += ["--ro-bind", str(path), str(path)]
    line += ["--ro-bind", str(where.submission), str(where.submission)]
    line += ["--size", SCRATCH, "--tmpfs", str(where.home)]
    line += ["--bind", str(where.sockets), str(where.sockets)]
    line += ["--remount-ro", "/dev", "--remount-ro", "/"]
    return [*line, "--chdir", str(where.submission), "--", *program]


def readable(variables: dict[str, str]) -> list[Path]:
    """Folders outside the system's that a submission needs: Python, the library, records, data."""
    python = Path(sys.executable).resolve().parents[1]
    wanted = [Path(sys.base_prefix), python, Path(sys.prefix), LIBRARY, RECORDS]
    wanted += [Path(variables[name]) for name in ("DGM_DATA", "DGM_DATASET") if name in variables]
    there = [path for path in wanted if path.is_absolute() and path.exists()]
    return [path for path in dict.fromkeys(there) if not path.is_relative_to("/usr")]


@cache
def refused() -> str | None:
    """Why submissions cannot run in bubblewrap here; None if they can. It is tried."""
    if shutil.which("bwrap") is None:
        return "it is not installed"
    with tempfile.TemporaryDirectory() as empty, place(Path(empty)) as where:
        line = command([sys.executable, "-c", ""], where, environment(where))
        run = subprocess.run(line, capture_output=True, text=True)
    said = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
    return said[-1] if run.returncode else None


def said() -> str:
    """What an instructor should know before a class is graded."""
    why = refused()
    return SAFE if why is None else UNSAFE.format(why=why)
