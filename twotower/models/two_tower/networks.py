"""`JointModel`: UserNet, ItemNet and RankNet side by side, and how the catalogue is encoded with them."""

from collections.abc import Callable
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

    `rank_net` is any module that is called like `Scorer` and has a `wide` part with `users` and `items`;
    `history_net` encodes the items of histories; None: `item_net` does.
    """

    def __init__(
        self, user_net: UserNet, item_net: ItemNet, rank_net: nn.Module, history_net: ItemNet | None = None
    ) -> None:
        super().__init__()
        self.user_net = user_net
        self.item_net = item_net
        self.rank_net = rank_net
        self.history_net = history_net

    def encode_items(self, inputs: DeviceInputs, ids: Tensor) -> Tensor:
        """Unit vectors of items [n] to [n, D]."""
        vectors: Tensor = self.item_net(inputs.items.take(ids), inputs.identities[ids])
        return vectors

    def encode_history_items(self, inputs: DeviceInputs, ids: Tensor) -> Tensor:
        """What UserNet reads of items [n] that it finds in a history, [n, D]."""
        tower = self.item_net if self.history_net is None else self.history_net
        vectors: Tensor = tower(inputs.items.take(ids), inputs.identities[ids])
        return vectors

    def encode_catalogue(self, inputs: DeviceInputs) -> Tensor:
        """Unit vectors of every item, in blocks, without dropout. Shape [N, D]."""
        return self._encode_all(inputs, self.encode_items)

    def encode_history_catalogue(self, inputs: DeviceInputs) -> Tensor:
        """`encode_history_items` of every item, likewise. Shape [N, D]."""
        return self._encode_all(inputs, self.encode_history_items)

    @torch.inference_mode()
    def _encode_all(self, inputs: DeviceInputs, encode: Callable[[DeviceInputs, Tensor], Tensor]) -> Tensor:
        was_training = self.training
        self.eval()
        device = inputs.identities.device
        every = torch.arange(len(inputs.identities), device=device)
        starts = range(0, len(every), ITEM_BLOCK)
        vectors = torch.cat([encode(inputs, every[i : i + ITEM_BLOCK]).float() for i in starts])
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
