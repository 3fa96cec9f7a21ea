"""The reader's edition: what it holds, that it runs anywhere, and that it overwrites nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from editions import INSTALL, authors, link
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pybtex.database import parse_file, parse_string

from dgm.assignment.cells import MARKERS, kind, without_claims
from dgm.assignment.chapter import read_chapter
from dgm.assignment.edition import edition, place
from dgm.assignment.plain import Page, plain

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def sources(notebook, cell_type):
    return [cell.source for cell in notebook.cells if cell.cell_type == cell_type]


class Anything(dict):
    """Knows every name."""

    def __missing__(self, key):
        return "5.1"

    def __contains__(self, key):
        return True


ANY_PAGE = Page("https://a.org/", "05-vae", Anything(), Anything(), sections=Anything())

# ---------------------------------------------------------------- what it holds


def test_a_reader_who_changes_a_number_is_not_contradicted():
    cells = [
        new_markdown_cell("It is lower {claim}`lower`, and\nso on {claim}`on`."),
        new_code_cell("say(a=1)\nclaim(\n    lower=0 < 1,\n)\nsay(b=2)"),
    ]
    made = edition(new_notebook(cells=cells))
    assert [cell.source for cell in made.cells] == [
        "It is lower, and\nso on.",
        "say(a=1)\nsay(b=2)",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_keeps_all_but_what_is_hidden(path):
    chapter = read(path)
    made = edition(chapter)
    nbformat.validate(made)
    text = "\n".join(cell.source for cell in made.cells)
    assert [marker for marker in MARKERS if marker in text] == []
    for cell in chapter.cells:
        if cell.cell_type == "code" and kind(cell.metadata) is None:
            assert without_claims(cell.source) in text
    graded = [cell for cell in chapter.cells if kind(cell.metadata) == "solution"]
    assert text.count("<details><summary>A solution</summary>") == len(graded)
    assert sum("raise NotImplementedError" in s for s in sources(made, "code")) == len(graded)
    captions = [c for c in chapter.cells if "figure" in c.metadata.get("mystnb", {})]
    assert text.count("**Figure.**") == len(captions)


def exercises_of(made):
    """The code that an exercise needs: the first import, and all from the first exercise on."""
    code = sources(made, "code")
    first = next(n for n, source in enumerate(code) if "raise NotImplementedError" in source)
    return [s for s in code[first:] if "raise Not" in s or s.startswith(("with exercise", "exerc"))]


def run(cells, chapter, capsys):
    """What the cells print after the chapter's set-up, as one program."""
    capsys.readouterr()
    program = "\n\n".join([IMPORT, chapter.setup, *cells])
    exec(compile(program, chapter.name, "exec"), {})
    return capsys.readouterr().out


IMPORT = "from dgm import notebook; notebook._verdicts.clear()\nfrom dgm.notebook import *"


@pytest.mark.parametrize("name", ["01-generative-models", "04-estimators"])
def test_stubs_are_unsolved_and_solutions_pass(name, capsys, monkeypatch):
    monkeypatch.chdir(BOOK)
    chapter, made = read_chapter(name, BOOK), edition(read(BOOK / f"{name}.ipynb"))
    cells = exercises_of(made)
    count = sum(cell.startswith("with exercise") for cell in cells)
    assert run(cells, chapter, capsys).count(": not solved yet") == count
    answers = re.findall(
        r"A solution</summary>\n\n```python\n(.*?)\n```", "\n".join(sources(made, "markdown")), re.S
    )
    answer = iter(answers)
    solved = [next(answer) if "raise NotImplementedError" in cell else cell for cell in cells]
    assert f"{count} of {count} pass their tests." in run(solved, chapter, capsys)


def test_without_solutions():
    made = edition(read(BOOK / "05-vae.ipynb"), solutions=False)
    text = "\n".join(cell.source for cell in made.cells)
    assert "A solution" not in text and "{solution}" not in text
    assert "raise NotImplementedError" in text


@pytest.mark.parametrize("wrong", ["raise KeyError('x')", "assert False, 'the reason'"])
def test_whatever_an_answer_does_the_notebook_goes_on(wrong, capsys):
    exec(f"from dgm.notebook import exercise\nwith exercise('Twice'):\n    {wrong}", {})
    assert "Twice: " in (said := capsys.readouterr().out)
    assert "KeyError: 'x'" in said or "not yet: the reason" in said


# ---------------------------------------------------------------- plain Markdown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_is_left_that_only_the_book_understands(path):
    text = "\n\n".join(plain(s, ANY_PAGE) for s in sources(edition(read(path)), "markdown"))
    text = re.sub(r"`{3}python\n.*?`{3}", "", text, flags=re.S)
    assert re.findall(r"^:{3,}.*|`{3}\{.*|\{[\w:-]+\}`.*|^\([\w-]+\)=$", text, re.M) == []
    assert re.findall(r"\]\((?!https://)[^)]*\)", text) == []
    assert text.count("<details>") == text.count("</details>")


def test_a_formula_in_a_quotation_stays_whole():
    """A sign of quotation before its second line would be part of it."""
    text = ":::{admonition} Pitfall: no\n:class: pitfall\n\nThen\n\n$$\na\n= b\n$$ (eq-a)\n\n:::"
    assert plain(text, ANY_PAGE) == "> **Pitfall: no.**\n>\n> Then\n>\n> $$ a = b  \\tag{5.1}$$"


def test_what_the_build_knows_takes_the_place_of_roles():
    page = Page("https://a.org/", "05-vae", {"gap": "0.3"}, {"eq-a": "5.2", "fig-b": "5.4"}, cite)
    text = (
        "{eval}`gap`, {eq}`eq-a`, {numref}`fig-b`, {cite:t}`k`, {cite}`k,l`, {run-time}`a minute`"
    )
    shown = "0.3, (5.2), Figure 5.4, K said (1999), (K, 1999; L, 1999), a minute"
    assert plain(text, page) == shown
    assert plain("(fig-b)=\n**Figure.** See.", page) == "**Figure 5.4.** See."
    assert plain("$$x$$ (eq-a)", page) == "$$x \\tag{5.2}$$"
    assert plain("```python\nf({eq}`eq-a`)\n```", page) == "```python\nf({eq}`eq-a`)\n```"


def test_directives_beside_code_are_no_code():
    text = "```{figure} a.svg\nSee.\n```\n\n```python\nx\n```\n\n```{figure} b.svg\nToo.\n```"
    shown = plain(text, ANY_PAGE)
    assert "{figure}" not in shown and "```python\nx\n```" in shown
    assert re.findall(r"_images/(\w)\.svg", shown) == ["a", "b"]


def test_a_link_to_a_section_shows_its_title():
    page = Page("https://a.org/", "05-vae", sections={"the-score": "The score"})
    assert plain("[](#the-score)", page) == "[The score](https://a.org/05-vae.html#the-score)"


def test_the_title_of_a_disclosure_is_html():
    text = ":::{admonition} Is `f(x * y)` *true* of $q^*$, `x * z`?\n:class: dropdown\n\nNo.\n:::"
    title = "Is <code>f(x * y)</code> <em>true</em> of $q^*$, <code>x * z</code>?"
    assert f"<summary>{title}</summary>" in plain(text, ANY_PAGE)


def cite(key, named):
    return f"{key.upper()} said (1999)" if named else f"{key.upper()}, 1999"


def test_every_work_of_the_bibliography_can_be_cited():
    works = parse_file(BOOK / "references.bib").entries.values()
    assert len(works) > 100
    assert all(authors(work) and work.fields["year"].isdigit() for work in works)


def test_a_work_is_cited_with_its_address():
    entry = '@misc{{a, author = "{}", year = 2014, {}}}'
    one = parse_string(entry.format("Kingma, Diederik", 'doi = "10.1/x"'), "bibtex").entries["a"]
    two = entry.format("Kingma, D. and Welling, Max", 'eprint = "1312.6114"')
    two = parse_string(two, "bibtex").entries["a"]
    many = parse_string(entry.format("van Dyk, A. and B, C. and D, E.", ""), "bibtex").entries["a"]
    assert [authors(one), authors(two)] == ["Kingma", "Kingma and Welling"]
    collection = parse_string('@book{a, editor = "Chapelle, O. and Zien, A."}', "bibtex")
    assert authors(collection.entries["a"]) == "Chapelle and Zien"
    assert authors(many) == "van Dyk et al."
    assert [link(one), link(two)] == ["https://doi.org/10.1/x", "https://arxiv.org/abs/1312.6114"]
    assert link(many) == ""


# ---------------------------------------------------------------- at a desk


def small_book(folder, text="One."):
    folder.mkdir(exist_ok=True)
    cells = [
        new_markdown_cell(f"# Title\n\n{text} See [notation](notation.md), [two](02-b.ipynb).")
    ]
    nbformat.write(new_notebook(cells=cells), folder / "01-a.ipynb")
    return folder


def test_copies_are_made_once_and_never_overwritten(tmp_path):
    book, work = small_book(tmp_path / "book"), tmp_path / "work"
    assert place(work, book) == []
    mine = work / "01-a.ipynb"
    assert "(../book/notation.md)" in mine.read_text() and "(02-b.ipynb)" in mine.read_text()
    changed = read(mine)
    changed.cells.append(new_code_cell("mine = 1"))
    nbformat.write(changed, mine)
    before = mine.read_bytes()
    assert place(work, book) == []  # the chapter is as it was

    small_book(book, "Two.")
    (said,) = place(work, book)
    assert mine.read_bytes() == before
    (beside,) = set(work.iterdir()) - {mine}
    assert str(beside) in said and "01-a has changed" in said
    assert "Two." in beside.read_text()
    beside.write_text(beside.read_text().replace("Two.", "My two."))
    assert place(work, book) == [said]
    assert "My two." in beside.read_text()

    mine.write_text("not a notebook any more")  # it is theirs
    assert len(place(work, book)) == 1
    assert mine.read_text() == "not a notebook any more"


# ---------------------------------------------------------------- anywhere else


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A Python with the packages of this one, but for dgm, as a Jupyter kernel."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    paths = {"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}
    packages = Path(sysconfig.get_path("purelib", "venv", paths))
    packages.joinpath("here.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    spec = {"argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
    kernel = tmp_path / "jupyter" / "kernels" / "elsewhere" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps(spec | {"display_name": "elsewhere", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # all that is needed is there
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # sic: this is how pip is told not to
    monkeypatch.delenv("PYTHONPATH", raising=False)
    done = subprocess.run([python, "-c", "import torch, dgm"], capture_output=True, text=True)
    assert "No module named 'dgm'" in done.stderr
    return "elsewhere"


@pytest.fixture
def repository(tmp_path):
    """The library as a repository of its own, with what is not committed here."""
    folder = tmp_path / "repository"
    shutil.copytree(ROOT / "lib", folder / "lib", ignore=shutil.ignore_patterns("*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True)
    return folder, head.stdout.strip()


def test_a_chapter_runs_to_its_end_where_nothing_is_installed(elsewhere, repository, tmp_path):
    folder, commit = repository
    made = edition(read(BOOK / "01-generative-models.ipynb"))
    install = new_code_cell(INSTALL.format(repository=folder, commit=commit))
    again = new_code_cell(INSTALL.format(repository=folder, commit=commit))  # after a failure
    again.source = again.source.replace(
        "if importlib", "sys.path.remove('course/lib')\nif importlib"
    )
    notebook = new_notebook(cells=[install, again, *made.cells])
    empty = tmp_path / "empty"
    empty.mkdir()
    where = {"metadata": {"path": str(empty)}}
    client = NotebookClient(notebook, timeout=600, kernel_name=elsewhere, resources=where)
    client.execute(env=os.environ)
    said = "".join(output.get("text", "") for output in notebook.cells[-1].outputs)
    assert re.search(r"^0 of \d+ pass their tests\.$", said, re.M)
    assert (empty / "course" / "lib" / "dgm").is_dir()
