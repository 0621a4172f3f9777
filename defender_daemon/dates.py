"""Dates: a moment as text, and back, by arithmetic alone.

Nothing here asks the C library: where its `time_t` has 32 bits, as on a Raspberry Pi OS for 32-bit ARM up to Debian 12,
it ends in January 2038, and the certificates that AWS IoT issues end on 2049-12-31.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

EPOCH = datetime(1970, 1, 1)  # UTC throughout; an aware one would be no help
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# What OpenSSL prints (ASN1_TIME_print), in English whatever the locale is: `Dec 31 23:59:59 2049 GMT`.
PRINTED = re.compile(r"(?P<month>[A-Z][a-z]{2}) +(\d+) (\d+):(\d+):(\d+)(?:\.\d+)? (?P<year>\d+)(?: GMT)?")


def date_text(seconds: float) -> str:
    """Return a moment (seconds since the epoch) as `2049-12-31 23:59:59 UTC`."""
    return f"{moment(seconds).isoformat(' ')} UTC"


def minute_text(seconds: float) -> str:
    """Return a moment without its seconds, as `2049-12-31 23:59 UTC`."""
    return f"{moment(seconds).isoformat(' ', 'minutes')} UTC"


def date_stamp(seconds: float) -> str:
    """Return a moment as it is in the name of a file, `20491231T235959Z`."""
    return f"{moment(seconds).isoformat().translate({ord('-'): None, ord(':'): None})}Z"


def moment(seconds: float) -> datetime:
    """Return a moment's date in UTC, to the second; what lies outside the years 1 to 9999 is taken as their end."""
    try:
        return EPOCH + timedelta(seconds=seconds // 1)
    except (OverflowError, ValueError):  # ValueError: nan
        return datetime.min if seconds < 0 else datetime.max.replace(microsecond=0)


def seconds_of(printed: str) -> float:
    """Return the moment (seconds since the epoch) that OpenSSL printed; raises ValueError."""
    found = PRINTED.fullmatch(printed)
    if found is None or found["month"] not in MONTHS:
        raise ValueError(f"{printed!r} is not a date as OpenSSL prints it")
    day, hour, minute, second = (int(each) for each in found.group(2, 3, 4, 5))
    date = datetime(int(found["year"]), MONTHS.index(found["month"]) + 1, day)
    return (date - EPOCH + timedelta(hours=hour, minutes=minute, seconds=second)).total_seconds()
