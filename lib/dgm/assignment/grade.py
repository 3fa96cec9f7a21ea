"""`python -m dgm.assignment.grade CHAPTER [--student NAME] [--output FOLDER]`: grade a class.

Each submission is graded by nbgrader in a process of its own, with a limit for time and memory, and
its program runs in a sandbox where there is one (`dgm.assignment.sandbox`). Whatever breaks its
grader has no points and says why; the others are graded. `marks/CHAPTER.csv` has a line for each
submission, with what is odd about it.
"""

import argparse
import csv
import os
import re
import sys
import warnings
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import nbformat

from . import sandbox
from .course import open_course
from .remarks import read, remarks
from .supervise import Failed, supervised

MEMORY = 2**32  # bytes, for a submission and its grader
SLACK = 60  # seconds that the grader may take beside the submission


class Mark(NamedTuple):
    student: str
    score: float
    max_score: float
    by_hand: str  # the labels of what is still to be graded by hand
    remark: str


def grade(name: str, output: Path = Path("assignments"), student: str | None = None) -> list[Mark]:
    """Grade what was handed in for an assignment, and write the file of marks.

    Args:
        name: of the assignment, which is the chapter's: "05-vae".
        output: the course folder.
        student: the one whose submission is graded; None: all. What others have stays.

    Returns:
        The marks of all, as they stand in the file.

    Raises:
        ValueError: there is no such assignment, or nobody (or not this student) has handed in.
        RuntimeError: nbgrader is missing.
    """
    course = Path(output).resolve()
    if not Path(course, "source", name, f"{name}.ipynb").exists():
        made = sorted(path.name for path in course.glob("source/*"))
        raise ValueError(f"chapter: got {name!r}, expected an assignment in {course}: {made}")
    handed_in = {path.parent.name: path for path in sorted(course.glob(f"submitted/*/{name}"))}
    chosen = list(handed_in) if student is None else [student]
    if not chosen or not handed_in.keys() >= set(chosen):
        expected = f"one of {sorted(handed_in)}" if handed_in else "submissions, and there are none"
        raise ValueError(f"student: got {student!r}, expected {expected} in submitted/")
    nbgrader = open_course(course)
    said = kept_remarks(course, name)
    for who in chosen:
        began = monotonic()
        try:
            limit = seconds(nbgrader) + SLACK
            said[who] = supervised(graded, name, course, who, seconds=limit, memory=MEMORY)
        except Failed as error:
            said[who] = f"not graded: {error}"
            no_points(nbgrader, name, who)
        mark = read_marks(nbgrader, name, {who: said[who]})[0]
        points = f"{mark.score:g} of {mark.max_score:g}"
        print(f"{who}: {points} ({monotonic() - began:.0f} s) {mark.remark}".rstrip(), flush=True)
    marks = read_marks(nbgrader, name, said)
    write_marks(course, name, marks)
    return marks


def seconds(nbgrader) -> int:
    """What the course allows a submission in all."""
    from .grading import Execute

    return Execute(config=nbgrader.config).total


def graded(name: str, course: Path, student: str) -> str:
    """Grade one submission; in its own process. Returns what is odd about it."""
    os.chdir(course)
    assignment = nbformat.read(Path("source", name, f"{name}.ipynb"), as_version=4)
    found = remarks(assignment, read(Path("submitted", student, name), name))
    outcome = open_course(course).autograde(name, student)
    if not outcome["success"]:
        raise Failed(reason(outcome))
    return "; ".join(found)


def reason(outcome: dict) -> str:
    """What nbgrader logged that an exception was: the last line of its traceback."""
    lines = [line.strip() for line in outcome["log"].splitlines()]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Missing)\w*(:|$)", line)]
    return (raised or lines or ["nbgrader gave no reason"])[-1][:200]


# ---------------------------------------------------------------- marks


def no_points(nbgrader, name: str, student: str) -> None:
    """Enter a submission that could not be graded."""
    with nbgrader.gradebook as gradebook:
        gradebook.update_or_create_student(student)
        submission = gradebook.update_or_create_submission(name, student)
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                grade.auto_score, grade.needs_manual_grade = 0, False
        gradebook.db.commit()


def read_marks(nbgrader, name: str, remarks: dict[str, str]) -> list[Mark]:
    """The marks of these students."""
    marks = []
    with nbgrader.gradebook as gradebook:
        for submission in gradebook.find_assignment(name).submissions:
            student = submission.student.id
            if student not in remarks:
                continue
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            by_hand = " ".join(grade.name for grade in grades if grade.needs_manual_grade)
            score = max(0.0, submission.score - (submission.late_submission_penalty or 0.0))
            mark = Mark(student, score, submission.max_score, by_hand, remarks[student])
            marks.append(mark)
    return sorted(marks)


def file_of_marks(course: Path, name: str) -> Path:
    return course / "marks" / f"{name}.csv"


def kept_remarks(course: Path, name: str) -> dict[str, str]:
    """What was said of those who are not graded now."""
    if not file_of_marks(course, name).exists():
        return {}
    with open(file_of_marks(course, name), newline="", encoding="utf-8") as file:
        return {row["student"]: row["remark"] for row in csv.DictReader(file)}


def write_marks(course: Path, name: str, marks: list[Mark]) -> None:
    file_of_marks(course, name).parent.mkdir(exist_ok=True)
    with open(file_of_marks(course, name), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Mark._fields)
        writer.writerows(marks)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dgm.assignment.grade", description="Grade a class."
    )
    parser.add_argument("chapter", metavar="CHAPTER", help="of the assignment: 05-vae")
    parser.add_argument("--student", metavar="NAME", help="this one only; else all")
    parser.add_argument("--output", default="assignments", help="the course folder")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", "Object of type")  # nbgrader's use of SQLAlchemy
    print(sandbox.said(), file=sys.stderr, flush=True)
    try:
        folder = Path(options.output).expanduser()
        grade(options.chapter, folder, options.student)
    except (ValueError, RuntimeError) as error:
        parser.exit(2, f"{error}\n")
    print(f"marks: {file_of_marks(folder, options.chapter)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
