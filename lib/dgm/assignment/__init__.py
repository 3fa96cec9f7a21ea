"""Assignments from the chapters: `python -m dgm.assignment CHAPTER [--exercises A,B]`.

A chapter is the one source of its page, of the student's notebook and of the grader. This program
takes its set-up and its coded exercises and makes, in a course folder for nbgrader, the notebook to
hand out, the one to grade with, and one for the instructor with solutions, rubrics and common
mistakes. nbgrader is an optional dependency; `make assignment` installs it.
"""

from .chapter import chapters, read_chapter
from .course import make_assignment

__all__ = ["chapters", "make_assignment", "read_chapter"]
