"""When a cron expression says that it is time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs
from cronsim import CronSim, CronSimError

from .errors import Invalid

__all__ = ["Schedule", "iso"]

_NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


@attrs.frozen
class Schedule:
    """A cron expression by the clock of a time zone.

    `expression`: minute, hour, day of the month, month and day of the week, then seconds if there
    are six fields; or a name such as `@daily`. `zone`: an IANA name; None is UTC.
    """

    expression: str
    zone: str | None = None

    def check(self) -> None:
        """Raises Invalid, naming `schedule` or `timezone`."""
        _read_zone(self.zone)
        try:
            first = next(CronSim(self._seconds_first(), datetime(2000, 1, 1)), None)
        except (CronSimError, ValueError) as error:
            raise Invalid(
                f"schedule: {self.expression!r} is not a cron expression of five fields, or of six "
                f"with the seconds last: {error}"
            ) from None
        if first is None:
            raise Invalid(f"schedule: {self.expression!r} never comes")

    def following(self, after: datetime) -> datetime | None:
        """The first date after `after`, in UTC; None if there is none within fifty years.

        A job of certain hours and minutes runs once a day also when clocks change: what is skipped
        when they go forward runs as soon as they have, and what comes twice when they go back runs
        the first time. Any other follows the clock as it goes.
        """
        zone = _read_zone(self.zone)
        expression = self._seconds_first()
        minute, hour = expression.split()[1:3]
        certain = not minute.startswith("*") and not hour.startswith("*")
        start = after.astimezone(zone)
        for found in CronSim(expression, start.replace(tzinfo=None) if certain else start):
            date = _existing(found.replace(tzinfo=zone)) if certain else found
            if (date := date.astimezone(UTC)) > after:
                return date
        return None

    def _seconds_first(self) -> str:
        fields = _NAMED.get(self.expression.strip().lower(), self.expression).split()
        if len(fields) == 5:
            fields = ["0", *fields]
        elif len(fields) == 6:
            fields = [fields[-1], *fields[:-1]]
        return " ".join(fields)


def iso(date: datetime) -> str:
    """A date in the form in which dates are stored."""
    return date.astimezone(UTC).isoformat(timespec="microseconds")


@lru_cache(maxsize=64)
def _read_zone(name: str | None) -> tzinfo:
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise Invalid(f"timezone: {name!r} is not the name of a time zone") from None


def _existing(date: datetime) -> datetime:
    """The date, or the first minute after it that clocks do show."""
    while date.astimezone(UTC).astimezone(date.tzinfo).replace(fold=0) != date:
        date += timedelta(minutes=1)
    return date
