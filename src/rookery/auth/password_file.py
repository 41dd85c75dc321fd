"""A password file as mosquitto has it: ``name:hash`` a line, with any hash that tells its algorithm.

Empty lines and lines that begin with ``#`` are passed over. A name has no colon and no space around it. The
file is read again when it changes; one with an error in it changes nothing.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from rookery.auth.hashes import PasswordFormatError, StoredPassword
from rookery.auth.passwords import parse_hash
from rookery.auth.users import User, UsersSource
from rookery.auth.watch import FileFault, file_version


class PasswordFile:
    """The password file of a node: what ``FileWatch`` watches, filling the table of a source."""

    def __init__(self, path: Path, source: UsersSource) -> None:
        self._path = path
        self._source = source

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self._path)

    def version(self) -> object:
        """See ``file_version``."""
        return file_version(self._path)

    def read(self) -> Callable[[], None]:
        """Read all users. Raises ``FileFault``."""
        return self._source.prepare(
            User(name, stored) for name, stored in read_password_file(self._path)
        )


def read_password_file(path: Path) -> list[tuple[str, StoredPassword]]:
    """The names and their passwords. Raises ``FileFault`` with file and line of the first error."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileFault(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FileFault(f"{path} is not UTF-8; save it in that encoding") from None
    return list(_entries(path, text))


def _entries(path: Path, text: str) -> Iterator[tuple[str, StoredPassword]]:
    lines: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, written = line.partition(":")
        if not colon or not name:
            raise FileFault(f"{path}:{number}: a line is name:hash, as mosquitto_passwd writes it")
        if name in lines:
            raise FileFault(f"{path}:{number}: {name} is there already, in line {lines[name]}")
        lines[name] = number
        yield name, _password(path, number, name, written)


def _password(path: Path, number: int, name: str, written: str) -> StoredPassword:
    try:
        stored = parse_hash(written)
    except PasswordFormatError as error:
        raise FileFault(f"{path}:{number}: the password of {name}: {error}") from None
    if stored is None:
        raise FileFault(
            f"{path}:{number}: the password of {name} is no hash that is known;"
            " make one with 'rookery user hash' or mosquitto_passwd"
        )
    return stored
