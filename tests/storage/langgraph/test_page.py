"""The example of `docs/langgraph.md` prints what stands below it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs/langgraph.md"


def test_the_example_prints_what_the_page_says(tmp_path: Path) -> None:
    [script] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    said = [line.removeprefix("# ") for line in script.splitlines() if line.startswith("# ")]
    assert done.stdout.splitlines() == said
