"""Assignments: what a chapter is turned into, and the whole chain up to the marks."""

import json
import subprocess
from pathlib import Path

import nbformat
import pytest

from dgm.assignment import __main__ as program
from dgm.assignment import course, grade, make_assignment, read_chapter
from dgm.assignment.__main__ import main
from dgm.assignment.cells import BEGIN_SOLUTION, MARKERS, UNSOLVED
from dgm.assignment.chapter import chapters, in_words, mistakes, select
from dgm.assignment.edition import edition

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BOOK = ROOT / "book"
FIRST = "01-generative-models"

pytestmark = pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader's use of SQLAlchemy


def make(name, folder, exercises=None, force=False):
    return make_assignment(name, exercises, folder, force, BOOK, HERE)


def submit(folder, student, name, notebook):
    path = folder / "submitted" / student / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


def read(path):
    return nbformat.read(path, as_version=4)


# ---------------------------------------------------------------- the chain


@pytest.mark.parametrize("name", chapters(BOOK))
def test_solutions_get_full_marks_and_stubs_none(name, tmp_path):
    """Generate, hand in, grade. All of it, the exercise that trains included, takes less than ten
    times the CPU time of the set-up, whose imports take two seconds or three: half a minute."""
    student, _ = make(name, tmp_path)
    solved = read(tmp_path / "source" / name / f"{name}.ipynb")
    names = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in solved.cells]
    clock = "import time\nSETUP = time.process_time()"
    solved.cells.insert(names.index("setup") + 1, nbformat.v4.new_code_cell(clock))
    solved.cells.append(nbformat.v4.new_code_cell("print(time.process_time() / SETUP)"))
    submit(tmp_path, "solved", name, solved)
    submit(tmp_path, "unsolved", name, read(student))
    nbgrader = course.open_course(tmp_path)
    outcome = nbgrader.autograde(name, "*")
    assert outcome["success"], outcome["log"]
    with nbgrader.gradebook as gradebook:
        marks = {s.student.id: s.score for s in gradebook.find_assignment(name).submissions}
    full = sum(e.points for e in select(read_chapter(name, BOOK)))
    assert marks == {"solved": full, "unsolved": 0}
    graded = {who: read(tmp_path / "autograded" / who / name / f"{name}.ipynb") for who in marks}
    assert 1 < float(graded["solved"].cells[-1].outputs[0].text) < 10
    stopped = [o for c in graded["unsolved"].cells for o in c.get("outputs", []) if "ename" in o]
    assert stopped[0].ename == "NotImplementedError", "the set-up runs, the first stub stops"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The assignment of two exercises of the first chapter."""
    path = tmp_path_factory.mktemp("course")
    make(FIRST, path, ["generative-models-2", "in-inverse-cdf"])
    return path


def test_the_students_notebook_gives_nothing_away(folder):
    release = read(folder / "release" / FIRST / f"{FIRST}.ipynb")
    exercises = select(read_chapter(FIRST, BOOK), ["in-inverse-cdf", "in-uniform"])
    shown = json.dumps(release)
    assert [mark for mark in MARKERS if mark in shown] == []
    to_write = sum(e.answer.source.count(BEGIN_SOLUTION) for e in exercises)
    assert shown.count(json.dumps(UNSOLVED)[1:-1]) == to_write
    for tests in (cell.source for exercise in exercises for cell in exercise.tests):
        hidden = tests.split("### BEGIN HIDDEN TESTS")[1].split("\n")[1]
        visible = tests.split("\n")[0]
        assert json.dumps(hidden)[1:-1] not in shown and json.dumps(visible)[1:-1] in shown
    assert "rubric" not in shown.lower()


def test_the_students_notebook_says_what_is_asked(folder):
    release = read(folder / "release" / FIRST / f"{FIRST}.ipynb")
    header = release.cells[0].source
    assert header.startswith("# Generative models: exercises")
    exercises = select(read_chapter(FIRST, BOOK), ["in-inverse-cdf", "in-uniform"])
    points, minutes = (sum(getattr(e, what) for e in exercises) for what in ("points", "minutes"))
    assert f"2 exercises, {points} points, about {minutes} minutes" in header
    assert "A person marks it." not in header, "there is nothing on paper"
    texts = [c.source for c in release.cells if c.cell_type == "markdown"]
    assert len(texts) == 3
    assert len(release.cells) == 2 + sum(2 + len(e.tests) for e in exercises)
    assert not any("{eq}" in t or ":::" in t or "{cite" in t for t in texts)


def test_the_instructors_notebook_has_everything(folder):
    text = (folder / "instructor" / FIRST / f"{FIRST}.ipynb").read_text(encoding="utf-8")
    for part in ("### BEGIN SOLUTION", "### BEGIN HIDDEN TESTS", "**Rubric.**"):
        assert part in text
    for wrong in mistakes(FIRST, "in-inverse-cdf", HERE):
        assert in_words(wrong) in text


def test_an_equation_of_the_book_is_printed_where_it_is_needed(tmp_path):
    student, _ = make(FIRST, tmp_path, ["in-nonlinear"])
    text = next(c.source for c in read(student).cells if c.id == "in-nonlinear")
    assert "of (toy)" in text and r"\tag{toy}" in text and r"\mathcal N" in text


# ---------------------------------------------------------------- on paper


def test_an_exercise_on_paper_is_a_question_with_a_rubric_that_a_person_marks(tmp_path):
    student, instructor = make(FIRST, tmp_path, ["in-uniform", "in-reverse"])
    release, marked = read(student), read(instructor)
    header = release.cells[0].source
    assert "2 exercises, 6 points" in header and "| 4 | 60 |" in header
    assert "A person marks it." in header
    (cell,) = (c for c in release.cells if c.id == "in-reverse-solution")
    assert (cell.cell_type, cell.source.strip()) == ("markdown", "YOUR ANSWER HERE")
    (told,) = (c.source for c in marked.cells if c.id == "in-reverse-solution-rubric")
    assert "4 points, given by hand" in told and "the cost of a missed mode" in told
    assert "in-reverse" not in json.dumps(release.cells[:2]) and "log 2" not in json.dumps(release)
    (solution,) = (c.source for c in marked.cells if c.id == "in-reverse-solution")
    assert BEGIN_SOLUTION in solution and "mode" in solution and "{numref}" not in solution

    cell.source = "On one mode, either of them."
    submit(tmp_path, "ada", FIRST, release)
    nbgrader = course.open_course(tmp_path)
    skip_the_run = ["nbgrader.preprocessors.SaveAutoGrades"]
    nbgrader.config.Autograde.autograde_preprocessors = skip_the_run
    assert nbgrader.autograde(FIRST, "ada")["success"]
    (mark,) = grade.read_marks(nbgrader, FIRST, {"ada": ""})
    assert (mark.max_score, mark.by_hand) == (6, "in-reverse-solution")


# ---------------------------------------------------------------- marks per part


def graded(source, grade_id, points=None):
    """A cell with nbgrader's metadata; only tests have points."""
    tests = points is not None
    nbgrader = {"grade": tests, "grade_id": grade_id, "locked": tests, "schema_version": 3}
    nbgrader |= {"solution": not tests, "task": False} | ({"points": points} if tests else {})
    return nbformat.v4.new_code_cell(source, metadata={"nbgrader": nbgrader})


ANSWER = "def halves(x):\n    ### BEGIN SOLUTION\n    return x / 2, x - x / 2\n    ### END SOLUTION"
TEXT = "# Numbers\n\n:::{exercise} Halves (★★)\n:label: nu-halves\n\nWrite `halves`.\n:::"


def two_tests(k, hidden):
    """Tests of what `halves` returns in one place."""
    visible = f'assert halves(4)[{k}] == 2, "the half of four is two"'
    message = f'"half number {k} is wrong where the visible tests do not look"'
    return f"{visible}\n### BEGIN HIDDEN TESTS\nassert {hidden}, {message}\n### END HIDDEN TESTS"


@pytest.fixture
def numbers(tmp_path):
    """A book of one chapter with one exercise in two parts: one point, and two points."""
    setup = nbformat.v4.new_code_cell("import math", metadata={"tags": ["setup"]})
    cells = [
        nbformat.v4.new_markdown_cell(TEXT),
        setup,
        graded(ANSWER, "nu-halves-solution"),
        graded(two_tests(0, "halves(3)[0] == 1.5"), "nu-halves-tests", 1),
        graded(two_tests(1, "halves(3)[1] == 1.5"), "nu-halves-tests-second", 2),
    ]
    (tmp_path / "book").mkdir()
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, tmp_path / "book" / "01-numbers.ipynb")
    return tmp_path


def test_each_part_of_an_exercise_gives_its_own_points(numbers):
    name, course_folder = "01-numbers", numbers / "course"
    student, instructor = make_assignment(name, None, course_folder, False, numbers / "book", HERE)
    assert "| Halves | 3 (1 + 2) | 30 |" in read(student).cells[0].source
    rubric = read(instructor).cells[-1].source
    assert "**Rubric, part 1.** 1 points" in rubric and "**Rubric, part 2.** 2 points" in rubric
    answers = {"both": "x / 2, x / 2", "first": "x / 2, x // 2", "second": "x // 2, x / 2"}
    for who, returned in answers.items():
        notebook = read(student)
        (cell,) = (c for c in notebook.cells if UNSOLVED in c.source)
        cell.source = f"def halves(x):\n    return {returned}"
        submit(course_folder, who, name, notebook)
    nbgrader = course.open_course(course_folder)
    outcome = nbgrader.autograde(name, "*")
    assert outcome["success"], outcome["log"]
    with nbgrader.gradebook as gradebook:
        marks = {s.student.id: s.score for s in gradebook.find_assignment(name).submissions}
    assert marks == {"both": 3, "first": 1, "second": 2}


def test_each_part_reports_for_itself_in_a_readers_edition(numbers):
    made = edition(read(numbers / "book" / "01-numbers.ipynb"))
    reports = [c.source.split("\n")[0] for c in made.cells if c.source.startswith("with")]
    assert reports == ['with exercise("Halves, part 1"):', 'with exercise("Halves, part 2"):']


# ---------------------------------------------------------------- what can go wrong


def snapshot(folder):
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "gradebook.db"]
    return {p: p.read_bytes() for p in files}


def test_nothing_is_overwritten_without_force(folder):
    before = snapshot(folder)
    with pytest.raises(FileExistsError, match=r"already there.*FORCE=1"):
        make(FIRST, folder)
    assert snapshot(folder) == before


def test_force_makes_it_again_and_keeps_submissions(tmp_path):
    make(FIRST, tmp_path, ["in-uniform"])
    submit(tmp_path, "ada", FIRST, nbformat.v4.new_notebook())
    student, _ = make(FIRST, tmp_path, ["in-uniform", "in-histogram"], force=True)
    assert "2 exercises" in read(student).cells[0].source
    assert (tmp_path / "submitted" / "ada" / FIRST / f"{FIRST}.ipynb").exists()


def test_an_unknown_chapter_lists_all():
    with pytest.raises(ValueError, match="01-generative-models.*05-vae"):
        read_chapter("05-vea", BOOK)


def test_a_book_elsewhere_is_missed(tmp_path):
    with pytest.raises(ValueError, match="none is there"):
        read_chapter("05-vae", tmp_path)


@pytest.mark.parametrize(
    "name, says",
    [("va-los", "va-loss: Here is a loss"), ("vae-99", "vae-1"), ("", "va-strong-decoder: ")],
)
def test_an_exercise_that_cannot_be_had_says_why(name, says):
    with pytest.raises(ValueError, match=f"exercises: got '{name}'(.|\n)*{says}"):
        select(read_chapter("05-vae", BOOK), ["va-loss", name])


def test_without_nbgrader_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install 'nbgrader"):
        make(FIRST, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_program_prints_errors_without_a_traceback(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stop:
        main(["05-vea"])
    assert stop.value.code == 2 and "chapter: got '05-vea'" in capsys.readouterr().err


def test_the_program_takes_a_folder_in_your_home_with_a_space(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(program, "make_assignment", lambda *given: called.append(given) or (1, 2))
    monkeypatch.setenv("HOME", str(tmp_path))
    main(["05-vae", "--exercises", "vae-1, va-loss", "--output", "~/my course"])
    assert called == [("05-vae", ["vae-1", "va-loss"], tmp_path / "my course", False)]


def test_make_says_that_nbgrader_could_not_be_installed(tmp_path):
    for file in ("Makefile", "requirements.txt", "pyproject.toml"):
        (tmp_path / file).write_text((ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "pip").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    (tmp_path / ".venv" / "bin" / "pip").chmod(0o755)
    (tmp_path / ".venv" / "installed").touch()
    command = ["make", "-C", str(tmp_path), "assignment", "CHAPTER=05-vae"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode != 0
    assert "no network" in run.stderr and "nbgrader is missing" in run.stderr
