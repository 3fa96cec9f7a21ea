"""Sphinx extension: the role {eval}`name` shows a value that the notebook computed.

`dgm.notebook.say(name=...)` hands the value over. myst-nb has an `eval` role of its own, which
needs another way of running notebooks; this one reads what was glued. JupyterLab with
jupyterlab-myst knows the role too and asks the kernel, so one source reads well in both. What was
shown is kept for the notebooks that the site offers (the extension `editions`).
"""

from myst_nb.ext.glue.roles import PasteTextRole
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


class ComputedText(PasteTextRole):
    """{eval}`name`."""

    def run(self):
        shown, messages = super().run()
        env = self.document.settings.env
        if shown:
            computed_values(env).setdefault(env.docname, {})[self.text] = shown[0].astext()
        return shown, messages


def computed_values(env: BuildEnvironment) -> dict[str, dict[str, str]]:
    """What the roles of each page showed, by name; kept with the pickled environment."""
    if not hasattr(env, "computed_values"):
        env.computed_values = {}
    return env.computed_values


def forget_page(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    computed_values(env).pop(docname, None)


def setup(app: Sphinx) -> dict:
    app.setup_extension("myst_nb")
    app.add_role("eval", ComputedText(), override=True)
    app.connect("env-purge-doc", forget_page)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
