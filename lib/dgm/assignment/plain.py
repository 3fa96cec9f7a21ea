"""MyST Markdown as the Markdown that every notebook shows: Colab, Kaggle, VS Code.

Directives become headings, quotations and disclosures, roles the text that the built page has in
their place: a computed value, an equation's number, a citation.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

FENCE = re.compile(
    r"^(?P<fence>:{3,}|`{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<title>.*)\n"
    r"(?P<inside>(?:.*\n)*?)(?P=fence)[ \t]*$",
    re.M,
)
OPTION = re.compile(r":([\w-]+):[ \t]*(.*)\n")
FRONT = re.compile(r"---\n((?:.*\n)*?)---\n")
CODE = re.compile(r"^`{3}(?P<directive>\{)?(?:.*\n)*?`{3}[ \t]*$", re.M)
DISPLAY = re.compile(r"\$\$(.+?)\$\$(?:[ ]?\(([\w-]+)\))?", re.S)
ROLE = re.compile(r"\{([\w:-]+)\}`([^`]*)`")
TARGET = re.compile(r"^\(([\w-]+)\)=\n(\*\*Figure\.\*\*)?", re.M)
LINK = re.compile(r"\]\(([\w/-]+)\.(?:ipynb|md)(#[\w-]+)?\)")
SECTION = re.compile(r"\[\]\(#([\w-]+)\)")


@dataclass(frozen=True)
class Page:
    """What the built page knows and its source does not.

    Attributes:
        address: of the site, ending in "/".
        name: of this page, "05-vae".
        values: what {eval} shows, by name.
        numbers: of equations and figures, by label: "5.3".
        cite: a citation of one work as a sentence has it, from its key and whether the sentence
            names the authors.
        sections: the titles of this page's sections, which links to them show, by address.
    """

    address: str
    name: str
    values: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    cite: Callable[[str, bool], str] = lambda key, named: key
    sections: dict[str, str] = field(default_factory=dict)


def plain(text: str, page: Page) -> str:
    """MyST Markdown without directives and roles.

    >>> page = Page("https://a.org/", "05-vae", {"error": "0.3"}, {"eq-bound": "5.1"})
    >>> plain("By {eq}`eq-bound` it is {eval}`error`: [more](notation.md).", page)
    'By (5.1) it is 0.3: [more](https://a.org/notation.html).'
    """
    code: list[str] = []

    def put_away(match: re.Match) -> str:
        if match["directive"]:  # it has the same fence
            return match[0]
        code.append(match[0])
        return f"\0{len(code) - 1}\0"

    text = CODE.sub(put_away, text + "\n").removesuffix("\n")
    text = FENCE.sub(lambda match: directive(match, page), text + "\n").removesuffix("\n")
    text = DISPLAY.sub(lambda match: display(*match.groups(), page), text)
    text = ROLE.sub(lambda match: role(*match.groups(), page), text)
    text = TARGET.sub(lambda match: target(*match.groups(), page), text)
    text = SECTION.sub(lambda match: f"[{page.sections[match[1]]}](#{match[1]})", text)
    text = LINK.sub(lambda match: f"]({page.address}{match[1]}.html{match[2] or ''})", text)
    text = text.replace("](#", f"]({page.address}{page.name}.html#")
    return re.sub("\0(\\d+)\0", lambda match: code[int(match[1])], text)


def directive(match: re.Match, page: Page) -> str:
    """A directive as Markdown: what it holds, and what kind of thing that is."""
    name, title, body = match["name"], match["title"].strip(), match["inside"]
    options = (
        dict(re.findall(r"^([\w-]+): *(.*)$", front[1], re.M))
        if (front := FRONT.match(body))
        else {}
    )
    body = body[front.end() :] if front else body
    while option := OPTION.match(body):
        options[option[1]], body = option[2], body[option.end() :]
    body = FENCE.sub(lambda inner: directive(inner, page), body).strip()
    if name == "figure":
        label = f"({options['name']})=\n" if "name" in options else ""
        return f"![]({page.address}_images/{title.rpartition('/')[2]})\n\n{label}**Figure.** {body}"
    if name == "exercise":
        return f"### Exercise: {title}\n\n{body}"
    if name == "solution":
        return disclosure("A solution", body)
    if name == "prf:proof":
        return quotation(f"Proof: {title}" if title else "Proof", f"{body} ∎")
    if "dropdown" in options.get("class", ""):
        return disclosure(title, body)
    if name in ("admonition", "note"):
        return quotation(title, body)
    return f"(What stands here is on [the page]({page.address}{page.name}.html).)"  # by the build


def disclosure(title: str, body: str) -> str:
    """The title stands within HTML, where no Markdown is understood, though formulas are."""
    title = re.sub(r"`([^`]+)`", r"<code>\1</code>", title)
    title = re.sub(r"\*([\w ]+)\*", r"<em>\1</em>", title)
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def quotation(title: str, body: str) -> str:
    """Lines of a formula would begin with the sign of a quotation: it is put on one line."""
    one_line = DISPLAY.sub(lambda match: match[0].replace("\n", " "), body)
    lines = [f"**{title.rstrip('.')}.**", "", *one_line.split("\n")]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def display(latex: str, label: str | None, page: Page) -> str:
    number = rf" \tag{{{page.numbers[label]}}}" if label in page.numbers else ""
    return f"$${latex.rstrip()}{number}\n$$" if "\n" in latex else f"$${latex}{number}$$"


def role(name: str, text: str, page: Page) -> str:
    """What stands on the page in the place of a role."""
    if name == "eval":
        return page.values[text]
    if name == "eq":
        return f"({page.numbers[text]})"
    if name == "numref":
        return f"Figure {page.numbers[text]}"
    if name.startswith("cite"):
        works = [page.cite(key.strip(), name == "cite:t") for key in text.split(",")]
        return ", ".join(works) if name == "cite:t" else f"({'; '.join(works)})"
    return text  # reading-time and its like: the words that stand in for the measurement


def target(label: str, figure: str | None, page: Page) -> str:
    """The label before a caption becomes the figure's number; no other one is seen."""
    return f"**Figure {page.numbers[label]}.**" if figure else ""
