"""The redaction: a configuration and other text without what must never leave the device."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

REMOVED = "(removed)"
SECRET_KEY = re.compile(r"passw|passphrase|pwd|psk|secret|token|username|credential|api_?key|cookie", re.IGNORECASE)
WHOLE_WORD_BELOW = 10  # characters; a shorter secret is replaced only where it stands alone, or no text would be left
SHORTEST_LINE = 8  # characters of a key's line: fewer tell nothing, and are in every other word
SHORTEST_ARGUMENT = 8

# A private key in PEM form, also in a JSON string, or cut off; its content never has a quotation mark in it.
PEM_KEY = re.compile(r'-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:(?!-----)[^"])*(?:-----END [A-Z0-9 ]*PRIVATE KEY-----)?')
PEM_END = re.compile(
    r"(?<![A-Za-z0-9+/=\\\s])[A-Za-z0-9+/=\\\s]*-----END [A-Z0-9 ]*PRIVATE KEY-----"
)  # what is left when the log begins in it
ACCESS_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
# 40 characters are AWS's secret keys, more are session tokens and the lines of a key; hex digests and words are not.
RANDOM_LOOKING = re.compile(
    r"(?<![A-Za-z0-9+/=])(?!/?(?:aws/things|etc|home|opt|private|proc|root|run|srv|sys|tmp|usr|var|Users)/)"
    r"(?=[A-Za-z0-9+/=]*[0-9])(?=[A-Za-z0-9+/=]*[A-Z])(?=[A-Za-z0-9+/=]*[a-z])"
    r"[A-Za-z0-9+/=]{40,}"
)
TOKENS = re.compile(  # that can be known by how they begin
    r"\b(?:"
    r"eyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)*"  # JSON Web Tokens
    r"|gh[opsru]_\w{16,}|github_pat_\w{16,}|gl[a-z]{2,6}-[\w-]{16,}|dckr_pat_[\w-]{16,}"  # forges and registries
    r"|npm_\w{16,}|pypi-[\w-]{16,}"
    r"|xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|SG\.[\w-]{8,}\.[\w-]{8,}|\d{8,10}:AA[\w-]{30,}"  # Slack, SendGrid, Telegram
    r"|[rsp]k_(?:live|test)_\w{8,}|whsec_\w{8,}"  # Stripe
    r"|AIza[\w-]{20,}|ya29\.[\w-]{8,}|GOCSPX-[\w-]{8,}"  # Google
    r"|sk-[\w-]{16,}|hf_\w{16,}|dop_v1_\w{16,}"
    r")"
)
WEBHOOK = re.compile(r"(?<=hooks\.slack\.com/services/)\S+|(?<=/api/webhooks/)\S+")
NAMES = r"pass(?:w(?:or)?d|wd|phrase)?|pwd|psk|secret|token|api[_-]?key|access[_-]?key|credential"
QUOTE = r"""\\?["']?"""
VALUE = r"""(?:(?<=")(?:(?!\\?").)*|(?<=')[^']*|[^\s"'\\,;&}]+)"""  # in quotation marks it may have blanks in it
NAMED = re.compile(  # password=..., "secret_key": "...", X-Amz-Security-Token=..., pwd=..., x-api-key: ...
    r"(?i)((?<![a-z])(?:[\w-]{0,60}[_-])?"  # within bounds, or a hostile line would take for ever
    rf"(?:\w{{0,60}}(?:passw|secret|token|apikey)|{NAMES})[\w-]{{0,60}}{QUOTE}\s*[:=]\s*{QUOTE}){VALUE}"
)
KEY_NAMED = re.compile(rf"(?i)(private[_-]?key{QUOTE}\s*[:=]\s*{QUOTE})(?![/~.]){VALUE}")  # and not where it is
OPTION = re.compile(
    rf"(?i)((?<![\w-])--?(?:[\w-]{{1,60}}-)?(?:{NAMES})(?:\s+|=){QUOTE}){VALUE}"
)  # mysqldump --pass ...
USER_OPTION = re.compile(r"((?<![\w-])(?:-u|--user)[\s=]+['\"]?[^\s:'\"]+:)[^\s'\"]+")  # curl -u me:...
COOKIE = re.compile(r"""(?i)((?:set-)?cookie2?\s*[:=]\s*)[^\r\n"']+""")
BEARER = re.compile(r"(?i)(\bbearer\s+)[\w.~+/=-]{8,}")
AUTHORIZATION = re.compile(r"(?i)(authorization\s*:\s*\w+\s+)\S+")
IN_URL = re.compile(r"(?<=://)[^\s/@\"]+@")  # the user and the password before a host

PATTERNS = [
    *((pattern, REMOVED) for pattern in (PEM_KEY, PEM_END, ACCESS_KEY_ID, TOKENS, WEBHOOK, RANDOM_LOOKING)),
    *((pattern, rf"\1{REMOVED}") for pattern in (AUTHORIZATION, BEARER, COOKIE, NAMED, KEY_NAMED, OPTION, USER_OPTION)),
    (IN_URL, REMOVED + "@"),
]


def without_secrets(content: Any, known: Iterable[str] = ()) -> Any:
    """Return text, or what JSON holds, with every private key, AWS secret and secret of `known` in it replaced."""
    patterns = [_verbatim(secret) for secret in sorted(set(known), key=len, reverse=True)]
    return _mapped(content, patterns + PATTERNS)


def _mapped(content: Any, patterns: Sequence[tuple[re.Pattern[str], str]]) -> Any:
    if isinstance(content, dict):
        return {_mapped(key, patterns): _mapped(value, patterns) for key, value in content.items()}
    if isinstance(content, list):
        return [_mapped(each, patterns) for each in content]
    if isinstance(content, str):
        for pattern, replacement in patterns:
            content = pattern.sub(replacement, content)
    return content


def _verbatim(secret: str) -> tuple[re.Pattern[str], str]:
    edges = (r"(?<!\w)", r"(?!\w)") if len(secret) < WHOLE_WORD_BELOW else ("", "")
    return re.compile(edges[0] + re.escape(secret) + edges[1]), REMOVED


def config_without_secrets(raw: Any) -> Any:
    """Return a configuration (JSON as Python gives it, right or wrong) without secrets and commands' arguments."""
    if isinstance(raw, list):
        return [config_without_secrets(each) for each in raw]
    if not isinstance(raw, dict):
        return raw
    return {key: _value_without_secrets(key, value) for key, value in raw.items()}


def secrets_of(raw: Any) -> list[str]:
    """Return what `config_without_secrets` leaves out, to find it again in a log or a message."""
    if isinstance(raw, list):
        return [secret for each in raw for secret in secrets_of(each)]
    if not isinstance(raw, dict):
        return []
    return [secret for key, value in raw.items() for secret in _secrets_in(key, value)]


def key_lines(pem: str) -> list[str]:
    """Return the lines of a key's content, none of which may be anywhere."""
    lines = [line.strip() for line in pem.splitlines()]
    return [line for line in lines if len(line) >= SHORTEST_LINE and not line.startswith("-----") and ":" not in line]


def _value_without_secrets(key: str, value: Any) -> Any:
    if value is None:
        return None
    if SECRET_KEY.search(key) and not isinstance(value, dict):  # an object may be a custom metric of such a name
        return REMOVED
    if key == "command":
        return _program_alone(value)
    return config_without_secrets(value)


def _program_alone(command: Any) -> Any:
    """Return a command's program: of a list (no shell), or of a shell's line, where VARIABLE=VALUE may come first."""
    words = _words_of(command)
    if not words or "=" in words[0]:
        return REMOVED
    left_out = len(words) - 1
    note = f"({left_out} argument{'' if left_out == 1 else 's'} left out)"
    if isinstance(command, list):
        return [words[0], *([note] if left_out else [])]
    return f"{words[0]} {note}" if left_out else words[0]


def _words_of(command: Any) -> list[str]:
    if isinstance(command, list):
        return [str(each) for each in command]
    try:
        return shlex.split(str(command))
    except ValueError:  # an open quotation mark
        return str(command).split()


def _secrets_in(key: str, value: Any) -> list[str]:
    if value is None or value == "":
        return []
    if SECRET_KEY.search(key) and not isinstance(value, (dict, list, bool)):
        return [str(value)]
    return _secret_words(value) if key == "command" else secrets_of(value)


def _secret_words(command: Any) -> list[str]:
    """Return the arguments that may be secrets, and a shell's line as messages quote it."""
    words = _words_of(command)
    whole = [] if isinstance(command, list) or len(words) < 2 else [str(command), repr(command)[1:-1]]
    after_name = [word for name, word in zip(words, words[1:]) if SECRET_KEY.search(name)]
    return whole + after_name + [word for word in words[1:] if _may_be_secret(word)]


def _may_be_secret(word: str) -> bool:
    """Whether an argument is more than a word or a path of lower-case words, which are in every log."""
    return len(word) >= SHORTEST_ARGUMENT and re.fullmatch(r"[a-z/._-]*", word) is None
