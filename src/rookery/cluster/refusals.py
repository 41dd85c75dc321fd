"""Why a node does not want a link with another, in a form that both sides tell their operators."""

from enum import StrEnum
from typing import Final

import grpc

DETAIL_CHARACTERS_MAX: Final = 300


class Reason(StrEnum):
    """In one word."""

    OTHER_CLUSTER = "other_cluster"
    OTHER_PROTOCOL = "other_protocol"
    SAME_ID = "same_id"
    """The other one has our node id."""
    ID_TAKEN = "id_taken"
    """A node of that id, of another boot, is here and alive."""
    UNPROVEN = "wrong_secret"
    """It has another secret than we, or one of the two has none."""
    WRONG_CERTIFICATE = "wrong_certificate"
    """It is of our authority and names somebody else."""
    NOT_EXPECTED = "not_expected"
    """No member, or not the one that was dialled."""
    OLDER_STREAM = "older_stream"
    MALFORMED = "malformed"
    BUSY = "busy"


CODES: Final = {
    Reason.OTHER_CLUSTER: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.OTHER_PROTOCOL: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SAME_ID: grpc.StatusCode.ALREADY_EXISTS,
    Reason.ID_TAKEN: grpc.StatusCode.ALREADY_EXISTS,
    Reason.UNPROVEN: grpc.StatusCode.UNAUTHENTICATED,
    Reason.WRONG_CERTIFICATE: grpc.StatusCode.UNAUTHENTICATED,
    Reason.NOT_EXPECTED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.OLDER_STREAM: grpc.StatusCode.ABORTED,
    Reason.MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
REASONS: Final = {str(reason): reason for reason in Reason}


class Refusal(Exception):
    """One node does not want the other."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    @property
    def code(self) -> grpc.StatusCode:
        """What gRPC calls it."""
        return CODES[self.reason]


def shown(text: str) -> str:
    """What another node said, for a log line: of bounded length, and without control characters."""
    cut = text[:DETAIL_CHARACTERS_MAX]
    return "".join(each if each.isprintable() else "?" for each in cut)


def refusal_in(text: str) -> Refusal | None:
    """The refusal in the text of a status; ``None`` where it is something else."""
    word, colon, detail = text.partition(": ")
    reason = REASONS.get(word)
    return Refusal(reason, shown(detail)) if colon and reason is not None else None
