"""How Hypothesis looks for examples: the same ones every time, or, to find new ones,
`--hypothesis-profile=search`.

These tests run in a process of their own, in which Hypothesis decides in which order trio's tasks
take their turns.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from trio._core import _run

_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # an example that fails is to fail again

_QUIET = {
    "deadline": None,
    "database": None,
    "print_blob": True,
    "phases": [Phase.explicit, Phase.generate, Phase.shrink],
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
}

settings.register_profile("same", max_examples=50, derandomize=True, **_QUIET)
settings.register_profile("search", max_examples=2000, **_QUIET)
settings.load_profile("same")
