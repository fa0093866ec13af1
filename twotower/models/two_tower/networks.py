"""`JointModel`: UserNet, ItemNet and RankNet side by side, and how the catalogue is encoded with them."""

from typing import Protocol

import torch
from torch import Tensor, nn

from twotower.models.two_tower.inputs import DeviceInputs
from twotower.models.two_tower.item_net import ItemNet
from twotower.models.two_tower.user_net import UserNet
from twotower.nn.packed import Features

ITEM_BLOCK = 65_536
"""Items encoded at once when the whole catalogue is embedded."""


class Scorer(Protocol):
    """What the joint step needs of `ranking.RankNet`."""

    def __call__(self, users: Tensor, items: Tensor, wide: Tensor) -> Tensor:
        """Logits [P, C] of unit vectors [P, D] and [P, C, D]."""
        ...


class JointModel(nn.Module):
    """UserNet, ItemNet and RankNet side by side, so that one optimiser step moves them all.

    `rank_net` is any module that is called like `Scorer` and has a `wide` part with `users` and `items`.
    """

    def __init__(self, user_net: UserNet, item_net: ItemNet, rank_net: nn.Module) -> None:
        super().__init__()
        self.user_net = user_net
        self.item_net = item_net
        self.rank_net = rank_net

    def encode_items(self, inputs: DeviceInputs, ids: Tensor) -> Tensor:
        """Unit vectors of items [n] to [n, D]."""
        vectors: Tensor = self.item_net(inputs.items.take(ids), inputs.identities[ids])
        return vectors

    @torch.inference_mode()
    def encode_catalogue(self, inputs: DeviceInputs) -> Tensor:
        """Unit vectors of every item, in blocks, without dropout. Shape [N, D]."""
        was_training = self.training
        self.eval()
        device = inputs.identities.device
        every = torch.arange(len(inputs.identities), device=device)
        starts = range(0, len(every), ITEM_BLOCK)
        vectors = torch.cat([self.encode_items(inputs, every[i : i + ITEM_BLOCK]).float() for i in starts])
        self.train(was_training)
        return vectors

    def wide_items(self, inputs: DeviceInputs, ids: Tensor) -> Tensor:
        """The wide part's share of each item id, any shape."""
        unique, where = torch.unique(ids, return_inverse=True)
        return self.wide_shares(inputs.items.take(unique))[where]

    def wide_shares(self, items: Features) -> Tensor:
        """The wide part's share of each of n items. Shape [n]."""
        shares: Tensor = self.rank_net.wide.items(items)  # type: ignore[operator, union-attr]
        return shares

    def wide_users(self, static: Features, profiles: Features) -> Tensor:
        """The wide part's share of each of P users. Shape [P]."""
        shares: Tensor = self.rank_net.wide.users(static, profiles)  # type: ignore[operator, union-attr]
        return shares
