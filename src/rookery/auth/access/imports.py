"""Users that other brokers wrote down: mosquitto's password file, and what EMQX takes and gives as CSV or JSON.

CSV has a line of headings, JSON one object a line or a list of objects; the fields are ``user_id`` (or
``username``), ``password_hash``, ``salt`` and ``is_superuser``. A hash that does not tell its algorithm must be
hexadecimal: 64 digits are SHA-256, 128 are SHA-512, and where the salt stood is said by ``salt_position``.
"""

import base64
import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from rookery.auth.access.users import UserRow
from rookery.auth.hashes import PasswordFormatError, StoredPassword
from rookery.auth.password_file import read_password_file
from rookery.auth.passwords import parse_hash
from rookery.auth.watch import FileFault

Format = Literal["mosquitto", "csv", "json"]
SaltPosition = Literal["prefix", "suffix", "disable"]

_NAMES: Final = ("user_id", "username")
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False, "": False}
_READ: Final = (
    "what can be read is any hash that tells its algorithm, SHA-256 in hexadecimal with the salt before the"
    " password or without one, and SHA-512 with the salt after it"
)


def format_of(path: Path) -> Format:
    """The format that a file's name tells; a name that tells none is mosquitto's."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return "csv"
    return "json" if suffix in (".json", ".jsonl", ".ndjson") else "mosquitto"


def read_users(path: Path, file_format: Format, salt_position: SaltPosition) -> list[UserRow]:
    """All users of a file. Raises ``FileFault`` with file and line of the first error."""
    if file_format == "mosquitto":
        return [_row(name, stored) for name, stored in read_password_file(path)]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileFault(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FileFault(f"{path} is not UTF-8; save it in that encoding") from None
    records = _csv_records(path, text) if file_format == "csv" else _json_records(path, text)
    return list(_rows(path, records, salt_position))


def _rows(
    path: Path, records: Iterable[tuple[str, Mapping[str, object]]], salt_position: SaltPosition
) -> Iterator[UserRow]:
    places: dict[str, str] = {}
    for place, record in records:
        try:
            user = _user(record, salt_position)
        except ValueError as error:
            raise FileFault(f"{path}:{place}: {error}") from None
        if user.name in places:
            raise FileFault(f"{path}:{place}: {user.name} is there already, in {places[user.name]}")
        places[user.name] = place
        yield user


def _csv_records(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    try:
        for record in reader:
            yield str(reader.line_num), record
    except csv.Error as error:
        raise FileFault(f"{path}:{reader.reader.line_num}: {error}") from None


def _json_records(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    if text.lstrip().startswith("["):
        entries = [(f"entry {number}", each) for number, each in enumerate(_json(path, text), 1)]
    else:
        lines = enumerate(text.splitlines(), 1)
        entries = [
            (str(number), _json(f"{path}:{number}", line)) for number, line in lines if line.strip()
        ]
    for place, entry in entries:
        if not isinstance(entry, dict):
            raise FileFault(f"{path}:{place}: a user is an object with user_id and password_hash")
        yield place, entry


def _json(where: object, text: str) -> list[object]:
    try:
        found: list[object] = json.loads(text)
    except ValueError as error:
        raise FileFault(f"{where} is no JSON: {error}") from None
    return found


def _user(record: Mapping[str, object], salt_position: SaltPosition) -> UserRow:
    name = next((record[key] for key in _NAMES if record.get(key)), None)
    written = record.get("password_hash")
    if not isinstance(name, str) or not isinstance(written, str) or not written:
        raise ValueError("a user has user_id (or username) and password_hash")
    superuser = _FLAGS.get(str(record.get("is_superuser") or "").lower())
    if superuser is None:
        raise ValueError(f"is_superuser of {name} is neither true nor false")
    try:
        stored = parse_hash(_notation(written, str(record.get("salt") or ""), salt_position))
    except PasswordFormatError as error:
        raise ValueError(f"the password of {name}: {error}") from None
    if stored is None:
        raise ValueError(f"the password of {name} is no hash that is known; {_READ}")
    return _row(name, stored, superuser)


def _notation(written: str, salt: str, salt_position: SaltPosition) -> str:
    """The hash in a notation of ours, where there is one."""
    if _HEX.fullmatch(written) is None:
        return written
    if len(written) == 64 and salt_position == "disable":
        return f"sha256$${written}"
    if len(written) == 64 and salt_position == "prefix" and "$" not in salt:
        return f"sha256${salt}${written}"
    if len(written) == 128 and salt_position == "suffix" and salt:
        parts = (salt.encode(), bytes.fromhex(written))
        return "$6$" + "$".join(base64.b64encode(part).decode() for part in parts)
    return written


def _row(name: str, stored: StoredPassword, superuser: bool = False) -> UserRow:
    return UserRow(name, stored.text, stored.algorithm, superuser=superuser)
