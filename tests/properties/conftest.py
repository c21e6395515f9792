"""How Hypothesis looks for examples: the same ones every time, or, to find new ones,
`--hypothesis-profile=search`.

These tests run in a process of their own: trio schedules otherwise where Hypothesis is at work.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

_QUIET = {
    "deadline": None,
    "database": None,
    "print_blob": True,
    "phases": [Phase.explicit, Phase.generate, Phase.shrink],
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
}

settings.register_profile("same", max_examples=100, derandomize=True, **_QUIET)
settings.register_profile("search", max_examples=1000, **_QUIET)
settings.load_profile("same")
