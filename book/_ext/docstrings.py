"""Docstrings as Markdown, and what they name: equations of the book, and works by their ids.

A docstring is Markdown with `$...$` and with the sections Args, Returns, Raises and so on. Two more
lines lead elsewhere:

    Equation: eq-elbo, def-elbo          labels of equations that the function computes
    Source: Kingma and Welling (2014), arXiv:1312.6114, equation 3; Pearson (1901), doi:10...
"""

from __future__ import annotations

import inspect
import re

SECTION = re.compile(r"(Args|Attributes|Returns|Returns, raises|Raises|Shapes|Source):(?: (.*))?$")
ITEM = re.compile(r"([\w*][\w*., ]*): (.*)$")
# what Markdown leaves alone: formulas and code
VERBATIM = re.compile(r"(\$\$.*?\$\$|\$[^$]+\$|`[^`]+`)", re.DOTALL)
EQUATION = re.compile(r"(?m)^Equation:((?:[ \n]+(?:eq|def)-[\w-]+,?)+)$\n*")
# a DOI may hold anything but blanks; here it ends in a letter, a digit or a bracket
WORK = re.compile(r"\b(doi|arXiv):(10\.\d+/[^\s;,]*[\w)]|\d{4}\.\d{4,5})")
ADDRESS = {"doi": "https://doi.org/", "arXiv": "https://arxiv.org/abs/"}


def take_equations(docstring: str) -> tuple[list[str], str]:
    """The labels that the line `Equation:` names, and the docstring without that line.

    >>> take_equations("A sum.\\n\\nEquation: eq-sum, def-sum\\n\\nSource: nobody.")
    (['eq-sum', 'def-sum'], 'A sum.\\n\\nSource: nobody.')
    """
    labels = [label for line in EQUATION.findall(docstring) for label in line.split()]
    return [label.rstrip(",") for label in labels], EQUATION.sub("", docstring).strip()


def works(text: str) -> list[str]:
    """The works that a text names by an id.

    >>> works("Pearson (1901), doi:10.1080/1478, and Kingma (2014), arXiv:1312.6114.")
    ['10.1080/1478', '1312.6114']
    """
    return [number for _, number in WORK.findall(text)]


def first_sentence(docstring: str) -> tuple[str, str]:
    """It and the rest. A full stop within a formula or within code ends no sentence.

    >>> first_sentence("The mean, $a. b$. And more.")
    ('The mean, $a. b$.', 'And more.')
    """
    opening = docstring.split("\n\n")[0]
    for stop in re.finditer(r"\.(?=\s|$)", opening):
        sentence = opening[: stop.end()]
        if not sentence.count("`") % 2 and not sentence.count("$") % 2:
            return sentence, docstring[stop.end() :].strip()
    return opening, docstring[len(opening) :].strip()


def markdown(docstring: str) -> str:
    """A docstring's sections, indented blocks and examples as Markdown.

    >>> print(markdown("Args:\\n    x: one,\\n        or two."))
    **Args**
    <BLANKLINE>
    - `x`: one,
      or two.
    """
    parts = []
    for block in re.split(r"\n(?:[ ]*\n)+", separated(docstring)):
        head = SECTION.match(block.split("\n")[0])
        if head:
            parts.append(section(head, block))
        elif block.startswith(">>>"):
            parts.append(f"```pycon\n{block}\n```")
        elif block.startswith("    "):
            previous = parts[-1] if parts else ""
            if previous.startswith("```text"):  # a blank line within an indented block
                parts[-1] = previous.removesuffix("```") + f"\n{inspect.cleandoc(block)}\n```"
            else:
                parts.append(f"```text\n{inspect.cleandoc(block)}\n```")
        else:
            parts.append(prose(block))
    return "\n\n".join(parts)


def separated(docstring: str) -> str:
    """With blank lines around displayed formulas and before sections."""
    text = re.sub(r"(?ms)^(\$\$.*?\$\$\S?)[ ]*$", r"\n\1\n", docstring)
    return re.sub(rf"(?m)^(?={SECTION.pattern[:-1]}$)", "\n", text).strip("\n")


def section(head: re.Match, block: str) -> str:
    """`Args:` and what is indented below it, as a list if it has names."""
    title, text = head[1], head[2]
    body = inspect.cleandoc("\n".join(block.split("\n")[1:]))
    if text is not None:  # it begins on the line of the title
        return f"**{title}** " + prose(f"{text}\n{body}".strip())
    if not ITEM.match(body.split("\n")[0]):
        return f"**{title}** " + prose(body)
    lines = []
    for line in body.split("\n"):
        item = ITEM.match(line)
        indented = "  " + prose(line.strip())
        lines.append(f"- `{item[1]}`: {prose(item[2])}" if item else indented)
    return f"**{title}**\n\n" + "\n".join(lines)


def prose(text: str) -> str:
    """Text in which formulas, code and emphasis mean something to Markdown, and ids are links.

    >>> prose("a < b, {eval}`name`, $x<y$")
    'a \\\\< b, \\\\{eval}`name`, $x<y$'
    >>> prose("Pearson (1901), doi:10.1080/1478.")
    'Pearson (1901), [doi:10.1080/1478](<https://doi.org/10.1080/1478>).'
    """
    pieces = VERBATIM.split(text)
    return "".join(
        p if k % 2 else linked(re.sub(r"([<{\[])", r"\\\1", p)) for k, p in enumerate(pieces)
    )


def linked(text: str) -> str:
    return WORK.sub(lambda found: f"[{found[0]}](<{ADDRESS[found[1]]}{found[2]}>)", text)
