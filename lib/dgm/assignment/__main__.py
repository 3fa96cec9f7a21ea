"""`python -m dgm.assignment CHAPTER [--exercises A,B] [--output FOLDER] [--force]`."""

import argparse
import sys
from pathlib import Path

from . import chapters, make_assignment, sandbox


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dgm.assignment", description="Make an assignment from a chapter."
    )
    parser.add_argument("chapter", metavar="CHAPTER", help=f"one of {', '.join(chapters())}")
    parser.add_argument(
        "--exercises", metavar="A,B", help="labels (va-loss) or positions (vae-1); else all"
    )
    parser.add_argument("--output", default="assignments", help="the course folder")
    parser.add_argument("--force", action="store_true", help="make it again if it is there")
    options = parser.parse_args(arguments)
    exercises = options.exercises and options.exercises.replace(",", " ").split()
    try:
        student, instructor = make_assignment(
            options.chapter, exercises, Path(options.output).expanduser(), options.force
        )
    except (ValueError, FileExistsError, RuntimeError) as error:
        parser.exit(2, f"{error}\n")
    print(f"to hand out:        {student}\nfor the instructor: {instructor}")
    print(f"when you grade:     {sandbox.said()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
