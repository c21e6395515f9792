"""Histories of double-texting, each decided by a seed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from .__main__ import main
from .mutants import MUTANTS, message_lost
from .simulation import SQLITE_EVERY, simulate

ROOT = Path(__file__).parents[2]
MANY = 250  # histories
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
    told = [_history(f"3-6,{SQLITE_EVERY}", hashes) for hashes in "01"]
    assert told[0] == told[1]


def _history(seeds: str, hashes: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--history", seeds],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hashes},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


@pytest.mark.parametrize("seeds", ["", "x", "1-", "5-3", "-1", "1,,2", "1.5", f"{2**63}"])
def test_seeds_that_are_none_are_refused_in_one_line(seeds: str) -> None:
    played = CliRunner().invoke(main, ["--", seeds])
    assert (played.exit_code, played.stdout) == (2, "")
    assert len(played.stderr.splitlines()) == 1
    assert f"SEEDS={seeds}: " in played.stderr


def test_the_histories_that_were_played_are_counted() -> None:
    played = CliRunner().invoke(main, ["1,3-4"])
    assert (played.exit_code, played.stdout) == (0, "3 histories, and nothing wrong\n")


def test_a_history_with_something_wrong_is_told_with_how_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message_lost(monkeypatch)
    played = CliRunner().invoke(main, [f"0-{ENOUGH}"])
    [wrong, again] = played.stdout.splitlines()
    assert (played.exit_code, "is lost" in wrong) == (1, True)
    seed = wrong.removeprefix("seed ").partition(":")[0]
    assert again == f"To see it again: make simulate SEEDS={seed} HISTORY=--history"
