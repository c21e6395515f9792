"""Files of environment variables."""

from __future__ import annotations

import re

__all__ = ["parse_dotenv"]

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)", re.ASCII)
_QUOTED = re.compile(r"""(['"])(.*?)\1\s*(?:#.*)?""")


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables of a `.env` file: lines `NAME=value`, with `export`, quotes and `#` comments.

    A value is taken as it stands: nothing in it is expanded. Raises ValueError naming a line that
    is something else.
    """
    variables = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        if (match := _LINE.fullmatch(line)) is None:
            raise ValueError(f"line {number}: expected NAME=value, got {line!r}")
        name, value = match.groups()
        if quoted := _QUOTED.fullmatch(value):
            value = quoted[2]
        else:
            value = re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
        variables[name] = value
    return variables
