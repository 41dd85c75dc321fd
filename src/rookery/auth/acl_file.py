"""Rules from a file in the format of mosquitto's ``acl_file``.

    topic [read|write|readwrite|deny] FILTER     before the first user: anonymous clients
    user NAME                                    the topic lines after it are this user's
    pattern [read|write|readwrite|deny] FILTER   everybody; %u is the user name, %c the client id

As there, what is said of a user comes before all patterns, and among each ``deny`` comes first wherever it
stands. Other than there, a subscription is decided when it is made: mosquitto grants any filter and then
leaves out the messages that may not be read.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rookery.auth.rules import Action, Rule, Subject
from rookery.auth.watch import FileFault

ACCESS: Final[dict[str, tuple[bool, Action]]] = {
    "read": (True, "subscribe"),
    "write": (True, "publish"),
    "readwrite": (True, "all"),
    "deny": (False, "all"),
}
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""More than any such file has; a wrong path may name something endless."""


class AclFileFault(FileFault):
    """The file cannot be used; the text has a line ``file:line: what is wrong`` for each fault."""


def read_acl_file(path: Path) -> list[Rule]:
    """The rules of a file, in the order in which they decide. Raises ``AclFileFault``."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise AclFileFault(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise AclFileFault(f"{path}: is larger than {FILE_BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise AclFileFault(f"{path}:{line}: is not UTF-8; save the file in that encoding") from None
    return parse_acl(text.split("\n"), str(path))


def parse_acl(lines: Iterable[str], name: str) -> list[Rule]:
    """The rules of the lines of a file of this name. Raises ``AclFileFault`` with all that is wrong."""
    faults: list[str] = []
    topics: list[Rule] = []
    patterns: list[Rule] = []
    subject = Subject(anonymous=True)
    for number, line in enumerate(lines, start=1):
        origin = f"{name}:{number}"
        word, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        try:
            if not word or word.startswith("#"):
                continue
            if word == "user":
                if not rest:
                    raise ValueError("user needs a name after it")
                subject = Subject(username=rest)
            elif word == "topic":
                topics.append(_rule(rest, subject, origin, plain=True))
            elif word == "pattern":
                patterns.append(_rule(rest, Subject(), origin, plain=False))
            else:
                raise ValueError(f"a line begins with user, topic, pattern or #, not with {word!r}")
        except ValueError as error:
            faults.append(f"{origin}: {error}")
    if faults:
        raise AclFileFault("\n".join(faults))
    return [*_denials_first(topics), *_denials_first(patterns)]


def _rule(text: str, subject: Subject, origin: str, *, plain: bool) -> Rule:
    if not text:
        raise ValueError("a topic filter is missing")
    access, _, topic_filter = text.partition(" ")
    topic_filter = topic_filter.strip()
    if not topic_filter:
        access, topic_filter = "readwrite", text
    if access not in ACCESS:
        raise ValueError(f"access is read, write, readwrite or deny, not {access!r}")
    if not plain and "${" in topic_filter:
        raise ValueError("the placeholders of a pattern are %u and %c")
    allow, action = ACCESS[access]
    return Rule(allow, action, topic_filter, subject, plain=plain, origin=origin)


def _denials_first(rules: list[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: rule.allow)
