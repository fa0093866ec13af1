"""`UserNet`: a user's own features, profile and recent items to a unit vector, at every position of a history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twotower.errors import BadConfig
from twotower.nn.embeddings import FieldEmbeddings, mlp
from twotower.nn.histories import history_net
from twotower.nn.history_kinds import HistoryKind
from twotower.nn.packed import Features


@dataclass(frozen=True, slots=True, eq=False)
class UserInputs:
    """What is known of W users at T positions.

    Attributes:
        static: own features, one row per user. W rows.
        profiles: distinct profiles of this batch.
        profile_rows: row of `profiles` that is valid at each position; None: T is 1, row w for window w. Shape [W, T].
        history: vectors of the items before position 1, 2, … (position 0 sees none). Shape [W, T - 1, D].
    """

    static: Features
    profiles: Features
    profile_rows: Tensor | None
    history: Tensor


class UserNet(nn.Module):
    """The user tower.

    The embedded own features and profile go through a small network; what the history says is added to it.

    Source: Kurovski (2017), UserNet, for features and profile; `nn/histories.py` for the history.
    Relations: `ItemNet` is its sibling; they share no weights, but histories are made of ItemNet's vectors.

    Args:
        static_sizes, n_static: fields and continuous columns of users' own features.
        profile_sizes, n_profile: the same of profiles.
        dim: width of the vector.
        hidden: widths of hidden layers between the embedded features and the vector.
        dropout: on hidden layers and inside the history network.
        history: "mean", "attention", "transformer", or None for a tower of features only.
        history_length, history_layers, history_heads: size of the history network; positions, the start included.
        periodic: continuous columns of the own features that are read by waves, too.
        profile_widths: of some profile fields' embeddings.
        vectors: first and past the last continuous column of each vector of the own features.
    """

    def __init__(
        self,
        *,
        static_sizes: Mapping[str, int],
        n_static: int,
        profile_sizes: Mapping[str, int],
        n_profile: int,
        dim: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        history: HistoryKind | None = "transformer",
        history_length: int = 100,
        history_layers: int = 2,
        history_heads: int = 2,
        periodic: Sequence[int] = (),
        profile_widths: Mapping[str, int] | None = None,
        vectors: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__()
        self.dim = dim
        self.static = FieldEmbeddings(static_sizes, n_static, periodic, vectors=vectors)
        self.profile = FieldEmbeddings(profile_sizes, n_profile, widths=profile_widths)
        width = self.static.width + self.profile.width
        if not width and history is None:
            raise BadConfig("UserNet: no user features, no profile and no history; give it at least one of them")
        self.project = mlp([width, *hidden, dim], dropout) if width else None
        self.start = nn.Parameter(torch.randn(dim)) if history else None
        self.history = (
            history_net(
                history, dim=dim, length=history_length, layers=history_layers, heads=history_heads, dropout=dropout
            )
            if history
            else None
        )

    def forward(self, inputs: UserInputs) -> Tensor:
        """Unit vectors of W users at T positions. Shape [W, T, D]."""
        parts = []
        if self.project is not None:
            parts.append(self.project(self._features(inputs)))
        if self.history is not None and self.start is not None:
            start = self.start.expand(len(inputs.history), 1, -1)
            vectors = torch.cat(
                [start, inputs.history * self.dim**0.5], dim=1
            )  # entries of about 1, as layers like them
            parts.append(self.history(vectors))
        return F.normalize(torch.stack(parts).sum(0) if len(parts) > 1 else parts[0], dim=-1)

    def _features(self, inputs: UserInputs) -> Tensor:
        """Embedded own features beside the embedded profile. Shape [W, T, width]."""
        static, profile = self.static(inputs.static)[:, None], self.profile(inputs.profiles)
        if inputs.profile_rows is None:
            return torch.cat([static, profile[:, None]], dim=2)
        return torch.cat([static.expand(-1, inputs.profile_rows.shape[1], -1), profile[inputs.profile_rows]], dim=2)
