"""`EveryItem`: RankNet of some users over a run of items, user by user, for gold standards of large catalogues."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twotower.models.two_tower.rank_net import RankNet

BLOCK = 512
"""Items scored at once: their activations stay in a core's cache."""


class EveryItem:
    """RankNet without what it computes twice: logits equal `RankNet.forward`'s up to rounding.

    - The item half of the first layer is computed once for all users. With the cross layer it differs from user to
      user, but is linear in the item's vector, so that both layers become one matrix a user.
    - ELU(x) + 1 = max(x, 0) + exp(min(x, 0)), and the 1 goes into the next layer's bias: less than half the time of
      ELU, which takes most of the rest, and nothing is allocated.
    - Threads take whole blocks each: waiting for each other at every small product would take longer than the products.

    Args:
        net: in evaluation mode.
        items: unit vectors. Shape [C, D].
        wide: the items' share of the wide part. Shape [C].
    """

    def __init__(self, net: RankNet, items: Tensor, wide: Tensor) -> None:
        self.net = net
        self.items = items
        self.wide = wide
        self._scale = net.dim**0.5
        self._first = net.item_layer(items * self._scale) if net.cross_layer is None else None  # [C, first]
        linear = [layer for layer in net.rest if isinstance(layer, nn.Linear)]
        self._layers = [(layer.weight.T, _without_ones(layer)) for layer in (*linear, net.deep)]

    def scores(self, users: Tensor, wide: Tensor) -> Tensor:
        """Logits of all items.

        Args:
            users: unit vectors. Shape [B, D].
            wide: the users' share of the wide part. Shape [B].

        Returns:
            Shape [B, C].
        """
        logits = self.items.new_empty(len(users), len(self.items))
        own = self.net.user_layer(users * self._scale)  # [B, first]
        mixed = [self._mixed(user) for user in users] if self._first is None else []
        starts, threads = range(0, len(self.items), BLOCK), torch.get_num_threads()
        if threads == 1 or self.items.device.type != "cpu":
            self._deep(logits, own, mixed, starts)
        else:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                list(pool.map(lambda t: self._deep(logits, own, mixed, starts[t::threads]), range(threads)))
            torch.set_num_threads(threads)
        logits += self.wide + wide[:, None]
        if self.net.direct is not None:
            logits.addmm_(users * self.net.direct, self.items.T)
        return logits

    def _mixed(self, user: Tensor) -> Tensor:
        """Item layer and cross layer of one user as one matrix. Shape [D, first]."""
        assert self.net.cross_layer is not None
        cross = self.net.cross_layer.weight  # [first, D + 1]
        weight = self.net.item_layer.weight * self._scale + cross[:, :-1] * user * self.net.dim
        mixed: Tensor = (weight + cross[:, -1:] * user).T.contiguous()
        return mixed

    @torch.inference_mode()
    def _deep(self, logits: Tensor, own: Tensor, mixed: list[Tensor], starts: range) -> None:
        """The deep part of all users and the blocks that begin at `starts`, into `logits` [B, C]."""
        rows = [[self.items.new_empty(BLOCK, weight.shape[0]) for weight, _ in self._layers] for _ in range(2)]
        for start in starts:
            block = slice(start, start + BLOCK)
            for b in range(len(own)):
                self._block(logits[b, block], own[b], block, mixed[b] if mixed else None, rows)

    def _block(self, logits: Tensor, own: Tensor, block: slice, mixed: Tensor | None, rows: list[list[Tensor]]) -> None:
        """The deep part of one user and one block of items, into `logits` [c]; `rows` is where to compute it."""
        n, (values_of, scratch) = len(logits), rows
        values = values_of[0][:n]
        if mixed is None:
            assert self._first is not None
            torch.add(self._first[block], own, out=values)
        else:
            torch.addmm(own, self.items[block], mixed, out=values)
        for layer, (weight, bias) in enumerate(self._layers):
            _add_one_to_elu(values, scratch[layer][:n])
            into = values_of[layer + 1][:n] if layer + 1 < len(self._layers) else logits[:, None]
            values = torch.addmm(bias, values, weight, out=into)


def _without_ones(layer: nn.Linear) -> Tensor:
    """The bias of a layer whose inputs are 1 too large."""
    return F.linear(-torch.ones_like(layer.weight[:1]), layer.weight, layer.bias)[0]


def _add_one_to_elu(values: Tensor, scratch: Tensor) -> None:
    """ELU(values) + 1 in place."""
    torch.clamp(values, max=0, out=scratch).exp_()
    values.clamp_(min=0).add_(scratch)
