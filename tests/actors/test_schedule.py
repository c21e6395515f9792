"""Which dates cron expressions mean."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from greenroom.actors import Invalid
from greenroom.actors.schedule import Schedule


def dates(expression: str, zone: str | None, after: str, count: int = 3) -> list[str]:
    """The first dates, as UTC without the year."""
    found = []
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    for _ in range(count):
        following = Schedule(expression, zone).following(moment)
        assert following is not None
        assert following.tzinfo is UTC
        found.append(f"{following:%m-%d %H:%M:%S}")
        moment = following
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", ["03-01 12:01:00", "03-01 12:02:00", "03-01 12:03:00"]),
        ("*/20 * * * *", ["03-01 12:20:00", "03-01 12:40:00", "03-01 13:00:00"]),
        ("0 9 * * MON-FRI", ["03-02 09:00:00", "03-03 09:00:00", "03-04 09:00:00"]),
        ("0 0 1 1 *", ["01-01 00:00:00"] * 3),
        ("0 0 L * *", ["03-31 00:00:00", "04-30 00:00:00", "05-31 00:00:00"]),
        ("0 0 13 * 5", ["03-06 00:00:00", "03-13 00:00:00", "03-20 00:00:00"]),
        ("* * * * * *", ["03-01 12:00:01", "03-01 12:00:02", "03-01 12:00:03"]),
        ("* * * * * 30", ["03-01 12:00:30", "03-01 12:01:30", "03-01 12:02:30"]),
        ("5 12 * * * */25", ["03-01 12:05:00", "03-01 12:05:25", "03-01 12:05:50"]),
    ],
)
def test_an_expression_has_five_fields_or_six_with_the_seconds_last(
    expression: str, expected: list[str]
) -> None:
    assert dates(expression, None, "2026-03-01T12:00:00") == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("@hourly", ["03-01 13:00:00", "03-01 14:00:00"]),
        ("@daily", ["03-02 00:00:00", "03-03 00:00:00"]),
        ("@Midnight", ["03-02 00:00:00", "03-03 00:00:00"]),
        ("@weekly", ["03-08 00:00:00", "03-15 00:00:00"]),
        ("@monthly", ["04-01 00:00:00", "05-01 00:00:00"]),
        ("@yearly", ["01-01 00:00:00", "01-01 00:00:00"]),
        ("@annually", ["01-01 00:00:00", "01-01 00:00:00"]),
    ],
)
def test_common_schedules_have_names(name: str, expected: list[str]) -> None:
    Schedule(name).check()
    assert dates(name, None, "2026-03-01T12:00:00", 2) == expected


def test_a_date_comes_after_the_moment_to_the_microsecond() -> None:
    assert dates("* * * * *", None, "2026-03-01T11:59:59.999999", 1) == ["03-01 12:00:00"]
    assert dates("* * * * *", None, "2026-03-01T12:00:00.000001", 1) == ["03-01 12:01:00"]


@pytest.mark.parametrize("seconds", ["", " 15"])
def test_a_certain_hour_that_clocks_skip_runs_as_soon_as_they_have(seconds: str) -> None:
    # In Paris clocks go from 2:00 to 3:00 on 29 March, at 1:00 UTC.
    second = seconds.strip() or "00"
    assert dates("30 2 * * *" + seconds, "Europe/Paris", "2026-03-27T12:00:00") == [
        f"03-28 01:30:{second}",
        f"03-29 01:00:{second}",
        f"03-30 00:30:{second}",
    ]
    assert dates("0,30 2 * * *" + seconds, "Europe/Paris", "2026-03-28T12:00:00", 2) == [
        f"03-29 01:00:{second}",
        f"03-30 00:00:{second}",
    ]


@pytest.mark.parametrize("seconds", ["", " 15"])
def test_a_certain_hour_that_comes_twice_runs_the_first_time(seconds: str) -> None:
    # In Paris clocks go from 3:00 back to 2:00 on 25 October, at 1:00 UTC.
    second = seconds.strip() or "00"
    expected = [f"10-25 00:30:{second}", f"10-26 01:30:{second}"]
    assert dates("30 2 * * *" + seconds, "Europe/Paris", "2026-10-24T12:00:00", 2) == expected
    # Asked between the two, when the clock shows 2:10 again.
    assert dates("30 2 * * *" + seconds, "Europe/Paris", "2026-10-25T01:10:00", 1) == expected[1:]


def test_what_runs_every_so_often_does_so_when_clocks_change_too() -> None:
    assert dates("*/30 * * * *", "Europe/Paris", "2026-03-29T00:15:00", 4) == [
        *("03-29 00:30:00", "03-29 01:00:00", "03-29 01:30:00", "03-29 02:00:00"),
    ]
    assert dates("0 * * * *", "Europe/Paris", "2026-10-24T23:30:00", 4) == [
        *("10-25 00:00:00", "10-25 01:00:00", "10-25 02:00:00", "10-25 03:00:00"),
    ]


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"])
@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("30 2 * * *", r"02:30:00"),
        ("*/10 1-3 * * *", r"0[123]:[0-5]0:00"),
        ("15 * * * * 20", r"\d\d:15:20"),
    ],
)
def test_dates_go_on_in_zones_of_every_kind(expression: str, shown: str, zone: str) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    found = [moment]
    for _ in range(400):
        following = Schedule(expression, zone).following(found[-1])
        assert following is not None
        found.append(following)
    assert all(before < after for before, after in pairwise(found))
    clock = [f"{date.astimezone(ZoneInfo(zone)):%H:%M:%S}" for date in found[1:]]
    assert [time for time in clock if not re.fullmatch(shown, time)] == []


@pytest.mark.parametrize(
    "expression",
    [
        *("nope", "", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * * * * 60"),
        *("*/0 * * * *", "5-1 * * * *", "@reboot", "0 0 31 2 *", f"{'9' * 5000} * * * *"),
    ],
)
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    with pytest.raises(Invalid, match=r"^schedule: '"):
        Schedule(expression).check()


def test_a_date_that_never_comes_is_refused() -> None:
    with pytest.raises(Invalid, match=r"schedule: '\* \* \*/20 \* 1L' never comes"):
        Schedule("* * */20 * 1L").check()


@pytest.mark.parametrize(
    "zone", ["Mars/X", "", "../../etc/passwd", "/etc/passwd", "America", "a\0b", "x" * 5000]
)
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(Invalid, match=r"^timezone: '"):
        Schedule("* * * * *", zone).check()
