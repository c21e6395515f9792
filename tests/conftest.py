"""Trio's tasks take turns as they do anywhere.

pytest-trio imports Hypothesis wherever it is installed, and then has trio shuffle its tasks for it;
only the tests of `properties`, in a process of their own, want that.
"""

from __future__ import annotations

from trio._core import _run

_run._ALLOW_DETERMINISTIC_SCHEDULING = False
