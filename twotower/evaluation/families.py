"""What a contender is: ours, a baseline of some family, or a peer; said once, where the contender is made."""

from collections.abc import Mapping

from twotower.errors import BadConfig

OURS, STAGE, PEER, OTHER = "ours", "stage", "peer", "other"
KINDS: Mapping[str, str] = {
    OURS: "ours",
    STAGE: "a part or variant of ours",
    "popular": "popularity",
    "cf": "collaborative filtering",
    "content": "features only",
    "hybrid": "hybrid",
    "sequence": "sequential",
    PEER: "another library",
    OTHER: "other",
}
"""Kind to what people call it; `kind` in the files of `conf/baseline` is one of them."""
HEADLINES = ("cf", "hybrid")
"""Kinds whose best contender always stands beside ours in the first figure."""


def checked_kind(kind: str, where: str) -> str:
    """The kind, if it is one.

    Raises:
        BadConfig: it is not.
    """
    if kind not in KINDS:
        raise BadConfig(f"{where}: kind {kind!r} is unknown; choose one of {', '.join(KINDS)}")
    return kind


def is_foreign(kind: str) -> bool:
    """Whether it stands against ours: anything but our own contenders and their parts."""
    return kind not in (OURS, STAGE)
