"""What a contender is: ours, a baseline of some family, or a peer; said once, where the contender is made."""

from collections.abc import Mapping

from twotower.errors import BadConfig

OURS, STAGE, PEER, RATING, OTHER = "ours", "stage", "peer", "rating", "other"
FAMILIES: Mapping[str, str] = {
    OURS: "ours",
    STAGE: "a part or variant of ours",
    "popular": "popularity",
    "cf": "collaborative filtering",
    "content": "features only",
    "hybrid": "hybrid",
    "sequence": "sequential",
    RATING: "rating prediction",
    PEER: "another library",
    OTHER: "other",
}
"""Family to what people call it; `family` in the files of `conf/model` is one of them."""
HEADLINES = ("cf", "hybrid")
"""Families whose best contender always stands beside ours in the first figure."""


def checked_family(family: str, where: str) -> str:
    """The family, if it is one.

    Raises:
        BadConfig: it is not.
    """
    if family not in FAMILIES:
        raise BadConfig(f"{where}: family {family!r} is unknown; choose one of {', '.join(FAMILIES)}")
    return family


def is_foreign(family: str) -> bool:
    """Whether it stands against ours: anything but our own contenders and their parts."""
    return family not in (OURS, STAGE)
