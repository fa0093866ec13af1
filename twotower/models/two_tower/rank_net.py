"""`RankNet`: the scorer network: how much will this user prefer this item, from both towers' vectors."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twotower.nn.embeddings import LinearFields, mlp
from twotower.nn.packed import Features


class WidePart(nn.Module):
    """Linear model on the categorical inputs of both sides.

    Args:
        static_sizes: fields of users' own features.
        profile_sizes: fields of profiles.
        item_sizes: fields of items.
    """

    def __init__(
        self, *, static_sizes: Mapping[str, int], profile_sizes: Mapping[str, int], item_sizes: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.static = LinearFields(static_sizes)
        self.profile = LinearFields(profile_sizes)
        self.item = LinearFields(item_sizes)

    def users(self, static: Features, profiles: Features) -> Tensor:
        """The users' share of the sum; both tables have P rows. Shape [P]."""
        shares: Tensor = self.static(static) + self.profile(profiles)
        return shares

    def items(self, items: Features) -> Tensor:
        """The items' share of the sum. Shape [n]."""
        shares: Tensor = self.item(items)
        return shares


class RankNet(nn.Module):
    """Deep part on e_u ⊕ e_v, with their product and cosine; the wide part's sum is added.

    Not the pairwise loss of 2005 with the same name, which is `nn.losses.ranknet_loss`.

    The cosine also enters the last sum directly, with a weight that starts at 1 / temperature: an untrained RankNet
    orders candidates as the towers do, and training adds what they miss.

    Source: Kurovski (2017), RankNet: widths 2^⌈log2(|e_u| + |e_v|)⌉, half, quarter; ELU; dropout on the second layer;
    p̂ = σ(w_wide · wide + w_deep · deep + b). The product, the cosine and its direct path are additions.

    Args:
        dim: width of either tower's vector.
        wide: the wide part; its weights are FTRL's.
        dropout: on the second layer.
        temperature: of the retrieval softmax; scales the cosine's first weight.
        interactions: use e_u∘e_v, the cosine and its direct path; False is the published network.
    """

    def __init__(
        self,
        *,
        dim: int,
        wide: WidePart,
        dropout: float = 0.5,
        temperature: float = 0.1,
        interactions: bool = True,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.wide = wide
        first = 2 ** math.ceil(math.log2(2 * dim))
        # The first layer stands in parts: the users' part is computed once per user, not once per candidate.
        self.user_layer = nn.Linear(dim, first)
        self.item_layer = nn.Linear(dim, first, bias=False)
        self.cross_layer = nn.Linear(dim + 1, first, bias=False) if interactions else None
        self.rest = mlp([first, first // 2, first // 4], dropout)
        self.deep = nn.Linear(first // 4, 1)
        self.direct = nn.Parameter(torch.tensor(1 / temperature)) if interactions else None
        self._reset(first)

    def _reset(self, first: int) -> None:
        """Xavier weights; with the direct path the deep part starts silent."""
        layers = [layer for layer in (self.user_layer, self.item_layer, self.cross_layer) if layer is not None]
        bound = math.sqrt(6 / (sum(layer.in_features for layer in layers) + first))
        for layer in layers:
            nn.init.uniform_(layer.weight, -bound, bound)
        nn.init.zeros_(self.user_layer.bias)
        nn.init.zeros_(self.deep.bias)
        if self.direct is None:
            nn.init.xavier_uniform_(self.deep.weight)
        else:
            nn.init.zeros_(self.deep.weight)

    def forward(self, users: Tensor, items: Tensor, wide: Tensor) -> Tensor:
        """Logits of the preference.

        Args:
            users: e_u, unit vectors, one per row. Shape [P, D].
            items: e_v, unit vectors of C candidates per row. Shape [P, C, D], or [1, C, D] for the same in every row.
            wide: the wide part's sum for each pair. Shape [P, C].

        Returns:
            Shape [P, C].
        """
        scale = self.dim**0.5  # entries of about 1
        hidden = self.user_layer(users * scale)[:, None] + self.item_layer(items * scale)  # [P, C, first]
        logits = wide
        if self.cross_layer is not None and self.direct is not None:
            product = users[:, None] * items
            cosine = product.sum(-1, keepdim=True)
            hidden = hidden + self.cross_layer(torch.cat([product * self.dim, cosine], dim=-1))
            logits = logits + self.direct * cosine[..., 0]
        deep: Tensor = self.deep(F.elu(self.rest(F.elu(hidden))))
        return logits + deep[..., 0]
