"""What figures.js makes of cases, outside a browser."""

import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from dgm import figures


def answers_to(cases: list[dict]) -> list:
    """The results of figures_node_test.mjs, in the order of the cases."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("THE JAVASCRIPT OF THE FIGURES WAS NOT CHECKED: there is no node on the PATH")
    script = Path(__file__).with_name("figures_node_test.mjs")
    command = [node, str(script), str(resources.files(figures).joinpath("figures.js"))]
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
