"""Trio's tasks take turns as they do anywhere, and the contract suite says what fails in it.

pytest-trio imports Hypothesis wherever it is installed, and then has trio shuffle its tasks for it;
only the tests of `properties`, in a process of their own, want that.
"""

from __future__ import annotations

import pytest
from trio._core import _run

# Before any test module imports it.
pytest.register_assert_rewrite("greenroom.storage.testing")

_run._ALLOW_DETERMINISTIC_SCHEDULING = False
