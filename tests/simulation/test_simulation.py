"""Histories of double-texting, each decided by a seed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .mutants import MUTANTS
from .simulation import SQLITE_EVERY, simulate

ROOT = Path(__file__).parents[2]
MANY = 400  # histories
AT_ONCE = 50
ENOUGH = 300  # for a mutant to be seen


@pytest.mark.parametrize("first", range(0, MANY, AT_ONCE))
def test_whatever_happens_every_promise_is_kept(first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        assert simulate(seed).wrong is None, f"make simulate SEEDS={seed}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_runtime_that_is_broken_is_found_out(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    assert any(simulate(seed).wrong is not None for seed in range(ENOUGH))


@pytest.mark.parametrize("seed", [5, 12, SQLITE_EVERY])
def test_a_seed_decides_everything(seed: int) -> None:
    assert simulate(seed).history == simulate(seed).history


def test_a_seed_decides_everything_in_any_process() -> None:
    seeds = f"3-6,{SQLITE_EVERY}"
    told = {_played(seeds, "--history", hashes=hashes).stdout for hashes in "01"}
    assert len(told) == 1


@pytest.mark.parametrize("seeds", ["", "x", "1-", "5-3", "-1", "1,,2", "1.5", f"{2**63}"])
def test_seeds_that_are_none_are_refused_in_one_line(seeds: str) -> None:
    played = _played("--", seeds)
    assert (played.returncode, played.stdout) == (2, "")
    assert len(played.stderr.splitlines()) == 1
    assert f"SEEDS={seeds}: " in played.stderr


def test_the_histories_that_were_played_are_counted() -> None:
    played = _played("1,3-4")
    assert (played.returncode, played.stdout) == (0, "3 histories, and nothing wrong\n")


def _played(*arguments: str, hashes: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hashes},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
