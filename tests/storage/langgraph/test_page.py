"""The examples of `docs/langgraph.md` print what stands below them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs/langgraph.md"
SCRIPTS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("script", SCRIPTS, ids=["served", "storage"])
def test_an_example_prints_what_the_page_says(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    said = [line.removeprefix("# ") for line in script.splitlines() if line.startswith("# ")]
    assert done.stdout.splitlines() == said
