"""`make`, with programs that only say how they were called: paths arrive as they were meant."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from dgm.reproduce import EXPERIMENTS

PROGRAMS = ("jupyter", "jupyter-book", "pip", "pytest", "python", "ruff")
SAYS = (
    f"""#!/bin/sh
[ -n "$ALONE" ] && [ "$2" = "$ALONE" ] && exec '{sys.executable}' "$@"
"""
    + """\
set -- "${0##*/}" "$@" "DGM_DATA=$DGM_DATA" "DGM_DATASET=$DGM_DATASET"
{ printf '%s|' "$@"; echo; } >> "$CALLS"
"""
)


def program(path: Path, text: str = SAYS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def clone(tmp_path):
    """A clone in a folder with a space in its name, where everything seems to be installed."""
    folder = tmp_path / "a clone"
    (folder / ".venv").mkdir(parents=True)
    made = f"command = /usr/bin/python3 -m venv {folder.resolve()}/.venv\n"  # as venv notes it
    (folder / ".venv" / "pyvenv.cfg").write_text(f"home = /usr/bin\n{made}", encoding="utf-8")
    for name in PROGRAMS:
        program(folder / ".venv" / "bin" / name)
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for name in ("installed", "grading", "bench"):
        (folder / ".venv" / name).touch()
    return folder


def make(clone: Path, *arguments: str, **environment: str) -> list[list[str]]:
    """The programs that were called, each with its arguments and its DGM_DATA and DGM_DATASET."""
    ours = ("DGM_", "MAKE", "MFLAGS", "CHAPTER", "FORCE")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    calls = clone.parent / "calls"
    subprocess.run(
        ["make", "-C", str(clone), *arguments],
        env=inherited | {"CALLS": str(calls)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("|")[:-1] for line in calls.read_text(encoding="utf-8").splitlines()]


def settings(calls: list[list[str]]) -> set[tuple[str, str]]:
    return {tuple(word.partition("=")[2] for word in call[-2:]) for call in calls}


@pytest.mark.parametrize("output", ["my course", "../Anna's course", '"the" course, 2', "~/course"])
def test_an_assignment_goes_where_it_should(clone, output):
    choice = ["CHAPTER=05-vae", "EXERCISES=vae-1 va-loss", f"OUTPUT={output}", "FORCE=1"]
    (call,) = make(clone, "assignment", *choice)
    options = ["--exercises", "vae-1 va-loss", "--output", output, "--force"]
    assert call[:-2] == ["python", "-m", "dgm.assignment", "05-vae", *options]


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (["STUDENT=ada l", "OUTPUT=my course"], ["--student", "ada l", "--output", "my course"]),
        ([], []),
    ],
)
def test_a_class_is_graded_where_it_should_be(clone, given, options):
    (call,) = make(clone, "grade", "CHAPTER=05-vae", *given)
    assert call[:-2] == ["python", "-m", "dgm.assignment.grade", "05-vae", *options]


def test_the_records_of_a_large_card_come_after_its_tests(clone):
    calls = called(clone, "records-gpu")
    kinds = ["python -c", "pytest -m gpu", "python -m dgm.bench", "python -m dgm.reproduce"]
    first = [next(i for i, call in enumerate(calls) if call.startswith(kind)) for kind in kinds]
    assert first == sorted(first)
    names = calls[-1].removeprefix("python -m dgm.reproduce ").removesuffix(" --budget 3").split()
    assert names and set(names) <= set(EXPERIMENTS)
    assert 3 * len(names) <= 20  # minutes; five are left for tests, bench and measuring


def test_what_is_not_given_is_not_passed_on(clone):
    (call,) = make(clone, "assignment", "CHAPTER=05-vae")
    assert call[:-2] == ["python", "-m", "dgm.assignment", "05-vae"]


@pytest.mark.parametrize(
    "given, meant",
    [
        ("/a path/with spaces", "/a path/with spaces"),
        ("~/my data", "~/my data"),  # the library's to resolve
        ("data", "{clone}/data"),
        ("../my  data, $old", "{clone}/../my  data, $old"),
    ],
)
@pytest.mark.parametrize("target", ["book", "test", "lab", "serve", "bench", "reproduce"])
def test_the_data_folder_is_the_same_for_all(clone, target, given, meant):
    """Chapters run in book/, commands in the root."""
    calls = make(clone, target, DGM_DATA=given)
    assert settings(calls) == {(meant.format(clone=clone), "")}
    on_the_command_line = make(clone, target, f"DGM_DATA={given}")
    assert settings(on_the_command_line) == settings(calls)


@pytest.mark.parametrize(
    "given, meant",
    [
        ("mnist", "mnist"),
        ("mine.npz", "{clone}/mine.npz"),
        ("sets/my own.npz", "{clone}/sets/my own.npz"),
        ("~/mine.npz", "~/mine.npz"),
        ("/sets/my own.npz", "/sets/my own.npz"),
    ],
)
@pytest.mark.parametrize("target", ["book", "test", "lab", "serve"])
def test_the_data_set_is_the_same_for_all(clone, target, given, meant):
    calls = make(clone, target, DGM_DATASET=given)
    assert settings(calls) == {("", meant.format(clone=clone))}
    assert settings(make(clone, target, f"DGM_DATASET={given}")) == settings(calls)


@pytest.mark.parametrize("python", ["{home}/a python/bin/python3", "~/a python/bin/python3"])
def test_a_clone_is_set_up_by_any_python(clone, python):
    program(clone.parent / "a python" / "bin" / "python3")
    (clone / ".venv" / "installed").unlink()
    home = str(clone.parent)
    calls = make(clone, ".venv/installed", "PYTHON=" + python.format(home=home), HOME=home)
    assert [call[0] for call in calls] == ["python3", "python3", "pip", "pip", "pip"]
    assert (clone / ".venv" / "installed").exists()


# ---------------------------------------------------------------- which folder, whose modules

SET_UP = ["python3", "python3", "pip", "pip", "pip"]


def test_a_copied_or_moved_clone_sets_up_anew(clone):
    python = clone.parent / "python" / "python3"
    program(python)

    def calls(folder):
        (clone.parent / "calls").unlink(missing_ok=True)
        return make(folder, "lab", f"PYTHON={python}", "SOURCE=1")

    copied = Path(shutil.copytree(clone, clone.parent / "a copy"))
    first = calls(copied)
    assert [call[0] for call in first] == [*SET_UP, "jupyter"]
    assert first[1][:-2] == ["python3", "-m", "venv", "--clear", ".venv"]
    moved = clone.rename(clone.parent / "moved")
    assert [call[0] for call in calls(moved)] == [*SET_UP, "jupyter"]
    moved.rename(clone)
    assert [call[0] for call in calls(clone)] == ["jupyter"]


@pytest.mark.parametrize("option", ["--clear", "--upgrade"])
def test_pythons_own_venv_notes_its_folder(clone, option):
    (clone / ".venv" / "pyvenv.cfg").unlink()
    (clone / ".venv" / "bin" / "python").unlink()  # venv makes its own
    for more in ([], [option]):
        command = [sys.executable, "-m", "venv", "--without-pip", *more, ".venv"]
        subprocess.run(command, cwd=clone, check=True)
    program(clone / ".venv" / "bin" / "jupyter")
    (clone / ".venv" / "installed").touch()
    assert [call[0] for call in make(clone, "lab", "SOURCE=1")] == ["jupyter"]


def test_no_path_of_the_users_leaks_in(clone):
    says = SAYS.replace("DGM_DATA=$DGM_DATA", "PYTHONPATH=$PYTHONPATH")
    program(clone / ".venv" / "bin" / "jupyter", says)
    assert settings(make(clone, "lab", "SOURCE=1", PYTHONPATH="/elsewhere")) == {("", "")}


def at_once(clone: Path, target: str, *arguments: str) -> list[str]:
    """What two makes at once call, with programs that take their time."""
    calls = clone.parent / "calls"
    command = ["make", "-C", str(clone), target, *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    options = {"env": environment | {"CALLS": str(calls)}, "stdout": subprocess.DEVNULL}
    runs = [subprocess.Popen(command, **options) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    return [line.split("|")[0] for line in calls.read_text(encoding="utf-8").splitlines()]


SLOW = SAYS + 'sleep 0.2\necho ended >> "$CALLS"\n'


def test_two_makes_at_once_set_up_once(clone):
    python = clone.parent / "python" / "python3"
    program(python, SLOW)
    (clone / ".venv" / "installed").unlink()
    calls = at_once(clone, ".venv/installed", f"PYTHON={python}")
    assert [name for name in calls if name != "ended"] == SET_UP


def test_two_makes_at_once_build_one_after_the_other(clone):
    program(clone / ".venv" / "bin" / "jupyter-book", SLOW)
    assert at_once(clone, "book") == ["jupyter-book", "ended"] * 2


# ---------------------------------------------------------------- what is run again


def called(clone: Path, *arguments: str, **environment: str) -> list[str]:
    return [" ".join(call[:-2]) for call in make(clone, *arguments, **environment)]


def test_nbval_takes_the_runs_of_the_build_that_comes_before_it(clone):
    calls = called(clone, "test", CI="")
    build, nbval, site = calls[-3:]
    assert build.startswith("jupyter-book build book -W -n") and "--all" not in build
    assert "--kept-runs" in nbval and nbval.endswith(" book")
    assert site == "pytest tests/book/test_site.py"


@pytest.mark.parametrize("setting", [{"CI": "true"}, {"CI": "", "FORCE": "1"}])
def test_nbval_runs_every_chapter_in_ci_and_when_forced(clone, setting):
    (nbval,) = [call for call in called(clone, "test", **setting) if "--nbval-lax" in call]
    assert "--kept-runs" not in nbval and nbval.endswith(" -n 2 --dist loadscope book")


def test_the_pdf_is_made_of_the_built_book(clone):
    build, pdf = called(clone, "pdf")
    assert build.startswith("jupyter-book build book -W -n")
    assert pdf == "python book/_ext/print_book.py _build/deep-generative-models.pdf"


def test_one_chapter_can_be_tested(clone):
    (clone / "book").mkdir()
    (clone / "book" / "05-vae.ipynb").touch()
    first, build, nbval, site = called(clone, "test", "CHAPTER=05-vae", CI="")
    assert first.startswith("pytest -n 2 tests/equations tests/exercises/test_exercises.py")
    assert first.endswith("-k 05-vae or test_05_vae.py")
    assert build.startswith("jupyter-book build book")
    assert nbval.endswith("--kept-runs book/05-vae.ipynb")
    assert site == "pytest tests/book/test_site.py -k 05-vae"


@pytest.mark.parametrize("target", ["test", "book"])
def test_an_unknown_chapter_is_named(clone, target):
    (clone / "book").mkdir()
    for name in ("04-estimators", "05-vae"):
        (clone / "book" / f"{name}.ipynb").touch()
    with pytest.raises(subprocess.CalledProcessError) as failure:
        make(clone, target, "CHAPTER=05-vea")
    expected = "CHAPTER: got 05-vea, expected one of 04-estimators 05-vae"
    assert expected in failure.value.stderr
    assert not (clone.parent / "calls").exists()
