"""Sphinx extension: the role {eval}`name` shows a value that the notebook computed.

`dgm.notebook.say(name=...)` hands the value over. myst-nb has an `eval` role of its own, which
needs another way of running notebooks; this one reads what was glued. JupyterLab with
jupyterlab-myst knows the role too and asks the kernel, so one source reads well in both.
"""

from myst_nb.ext.glue.roles import PasteTextRole
from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict:
    app.setup_extension("myst_nb")
    app.add_role("eval", PasteTextRole(), override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
