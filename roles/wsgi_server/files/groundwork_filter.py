"""What of an event may leave for the error tracker: no secret of the app's, no body, no cookie, few headers."""

import json
import os
import re
import sys
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

FILTERED = "[Filtered]"
SHORTEST = 4  # a shorter value stands in every text
# A variable, a key, a local variable or a parameter whose value is not for others.
NAMED = "passw|passphrase|secret|token|api_?-?key|private|credential|authoriz|cookie|csrf|signature|salt"
SECRET_NAME = re.compile(rf"{NAMED}|(^|[_-])(key|pw|auth|code)$", re.IGNORECASE)
# In a text: `?token=…` and `token=…`; `'token': '…'` and `('token', '…')`, as Python and JSON show forms.
NAME = rf"[\w.%-]{{0,60}}?(?:{NAMED})[\w.%-]{{0,60}}"
PARAMETER = re.compile(rf"(?<![\w.%-])({NAME}=)[^&#\s'\"<>]+", re.IGNORECASE)
ITEM = re.compile(
    rf"((['\"]){NAME}\2\s?[:,]\s?b?)(?:'[^']{{0,4096}}'?|\"[^\"]{{0,4096}}\"?|[^\s,'\"\[\](){{}}]+)", re.IGNORECASE
)
CODE = ("context_line", "pre_context", "post_context")  # the app's lines: values that have names in them are not there
# Of a visitor: what the SDK's own `send_default_pii` is about.
PERSONAL = ("ip_address", "query_string", "remote_addr", "x_forwarded_for", "x_real_ip")
# Of our own variables, those that an event is to show.
SHOWN = ("SENTRY_ENVIRONMENT", "SENTRY_RELEASE", "SENTRY_TRACES_SAMPLE_RATE")
COMMON = ("true", "false", "none", "null")
HEADERS = ("accept", "content-length", "content-type", "host", "user-agent", "x-request-id")
# The parts of an event in which nothing of the app's can stand.
AS_IT_IS = ("environment", "event_id", "level", "modules", "platform", "release", "sdk", "timestamp")


class Filter:
    """Takes out of an event what must not leave the host, and says to which log lines it belongs.

    :param environment: the process's; GROUNDWORK_SECRETS names the secret ones.
    :param request_id: says under which number the proxy logs the request that is being answered.
    """

    def __init__(self, environment: Mapping[str, str], request_id: Callable[[], str] | None = None) -> None:
        names = set(environment.get("GROUNDWORK_SECRETS", "").split()) - set(SHOWN)
        self.request_id, self.invocation = request_id, environment.get("INVOCATION_ID", "")
        self.traces = bool(environment.get("SENTRY_TRACES_SAMPLE_RATE"))
        self.names = {name.lower() for name in names}
        self.secrets = sorted(set(secrets(environment, names)), key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, self.secrets)) or r"(?!)")

    def __call__(self, event: Any, _hint: Any = None) -> Any:
        """The event without them."""
        self.tag(event)
        request = event.pop("request", None)
        if isinstance(job := (event.get("extra") or {}).get("rq-job"), dict):
            job.pop("description", None)  # the job's arguments once more, as a text
        for name, value in event.items():
            if name not in AS_IT_IS:
                event[name] = self.clean(value)
        if isinstance(request, dict):
            event["request"] = self.request(request)
        return event

    def tag(self, event: dict[str, Any]) -> None:
        """Note what finds the lines in the log."""
        number = self.request_id() if self.request_id else "-"
        found = {
            "program": os.path.basename(sys.argv[0] if sys.argv else ""),
            **({"request_id": number[:200]} if number != "-" else {}),
            **({"invocation": self.invocation} if self.invocation else {}),
        }
        if not self.traces and isinstance(contexts := event.get("contexts"), dict):
            contexts.pop("trace", None)  # the process's, for want of one of the request
        event["tags"] = {**dict(event.get("tags") or {}), **found}

    def request(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request by its address and a few headers, the parameters whose names are those of secrets without value."""
        kept: dict[str, Any] = {name: self.text(str(request[name])) for name in ("method", "url") if name in request}
        headers = request.get("headers")
        if isinstance(headers, dict):
            kept["headers"] = {name: self.clean(value) for name, value in headers.items() if name.lower() in HEADERS}
        if query := request.get("query_string"):
            pairs = urllib.parse.parse_qsl(str(query), keep_blank_values=True)
            kept["query_string"] = urllib.parse.urlencode(
                [(name, FILTERED if self.is_secret(name) else self.text(value)) for name, value in pairs], safe="[]"
            )
        return kept

    def is_secret(self, name: str) -> bool:
        """Whether what has this name is secret."""
        lower = name.lower()
        if lower.startswith("http_"):  # a header in the environment of a WSGI request
            return lower[5:].replace("_", "-") not in HEADERS
        return lower in self.names or lower in PERSONAL or bool(SECRET_NAME.search(name))

    def clean(self, value: Any, name: str = "") -> Any:
        """A part of an event. Variables are kept where they are of the app's own code, not those of its libraries."""
        if isinstance(value, dict):
            if "vars" in value and value.get("in_app") is not True:
                value = {key: part for key, part in value.items() if key != "vars"}
            return {self.text(str(key)): self.clean(part, str(key)) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean(part, name) for part in value]
        if value is None or isinstance(value, bool):
            return value
        if self.is_secret(name):
            return FILTERED
        if isinstance(value, str):
            return self.pattern.sub(FILTERED, value) if name in CODE else self.text(value)
        return FILTERED if self.pattern.search(str(value)) else value

    def text(self, text: str) -> str:
        """A text without secrets, nor the beginning of one where the SDK has cut it."""
        text = PARAMETER.sub(rf"\1{FILTERED}", self.pattern.sub(FILTERED, text))
        text = ITEM.sub(rf"\1{FILTERED}", text)
        if text.endswith("..."):
            begun = text[:-3]
            for secret in self.secrets:
                for length in range(min(len(secret), len(begun)), SHORTEST - 1, -1):
                    if begun.endswith(secret[:length]):
                        return f"{begun[:-length]}{FILTERED}..."
        return text


def secrets(environment: Mapping[str, str], names: set[str]) -> Iterator[str]:
    """All forms in which the values of the secret variables may stand in an event."""
    for name, value in environment.items():
        if name in SHOWN or name.startswith("GROUNDWORK_"):
            continue
        own = name in names or SECRET_NAME.search(name) or name in ("SECRET_KEY_FALLBACKS", "SENTRY_DSN")
        for one in parts(value) if own else passwords(value):
            if len(one) >= SHORTEST and one.lower() not in COMMON:
                yield from (one, repr(one)[1:-1], json.dumps(one)[1:-1], urllib.parse.quote(one, safe=""))


def parts(value: str) -> Iterator[str]:
    """A secret, and what of it is one by itself: a URL's password, a key's lines, the texts of a JSON document."""
    yield value
    yield from passwords(value)
    if "\n" in value:
        yield from (line.strip() for line in value.splitlines())
    if value.lstrip()[:1] in ("{", "["):
        try:
            yield from leaves(json.loads(value))
        except ValueError:
            return


def leaves(value: Any) -> Iterator[str]:
    """The texts of a JSON document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from leaves(one)
    elif isinstance(value, str):
        yield value


def passwords(value: str) -> Iterator[str]:
    """The password of a URL, as it stands there and as it is meant."""
    if match := re.match(r"[\w+.-]+://[^/?#@\s]*?:([^/?#\s]+)@", value):
        yield from (match[1], urllib.parse.unquote(match[1]))
