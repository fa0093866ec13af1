"""What a user's recent items say: mean, attention or causal transformer over item vectors, at every position at once.

Each maps vectors [B, H, D] (position 0 is the start token, real items follow, padding on the right) to [B, H, D];
position t sees positions 0..t only, so one pass over a history serves every event of it as a training example.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twotower.errors import BadConfig
from twotower.nn.history_kinds import HistoryKind


def history_net(kind: HistoryKind, *, dim: int, length: int, layers: int, heads: int, dropout: float) -> nn.Module:
    """Builds a history encoder by name.

    Raises:
        BadConfig: an unknown kind, or `dim` is not a multiple of `heads`.
    """
    if kind == "mean":
        return MeanHistory()
    if kind == "attention":
        return AttentionHistory(dim=dim)
    if kind == "transformer":
        return TransformerHistory(dim=dim, length=length, layers=layers, heads=heads, dropout=dropout)
    raise BadConfig(f"history={kind!r} is unknown; use mean, attention, transformer or null")


class MeanHistory(nn.Module):
    """Mean of the vectors so far.

    Source: Covington et al., "Deep Neural Networks for YouTube Recommendations", 2016, section 3.2.
    """

    def forward(self, vectors: Tensor) -> Tensor:
        """[B, H, D] -> [B, H, D]."""
        seen = torch.arange(1, vectors.shape[1] + 1, device=vectors.device, dtype=vectors.dtype)
        return vectors.cumsum(1) / seen[:, None]


class AttentionHistory(nn.Module):
    """Softmax-weighted mean of the vectors so far, weights from a small network on each vector.

    Source: Yang et al., "Hierarchical Attention Networks", 2016, equations 5-7, made causal.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.score = nn.Linear(dim, 1, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """[B, H, D] -> [B, H, D]."""
        scores = self.score(torch.tanh(self.hidden(vectors)))[..., 0]  # [B, H]
        length = vectors.shape[1]
        future = torch.ones(length, length, dtype=torch.bool, device=vectors.device).triu(1)
        weights = scores[:, None, :].expand(-1, length, -1).masked_fill(future, -torch.inf).softmax(-1)  # [B, H, H]
        mixed: Tensor = weights @ vectors
        return mixed


class TransformerHistory(nn.Module):
    """Causal self-attention with learnt positions.

    Source: Kang & McAuley, "Self-Attentive Sequential Recommendation" (SASRec), 2018; pre-norm blocks.
    """

    def __init__(self, *, dim: int, length: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise BadConfig(f"dim={dim} must be a multiple of history_heads={heads}")
        self.positions = nn.Parameter(torch.empty(length, dim).normal_(std=0.1))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(_Block(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, vectors: Tensor) -> Tensor:
        """[B, H, D] -> [B, H, D]."""
        hidden = self.dropout(vectors + self.positions[: vectors.shape[1]])
        for block in self.blocks:
            hidden = block(hidden)
        normed: Tensor = self.norm(hidden)
        return normed


class _Block(nn.Module):
    """Self-attention, then a two-layer network, each on a normed input and added to it."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_hidden = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)
        self.hidden = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self._attend(self.norm_attention(x)))
        out: Tensor = x + self.dropout(self.hidden(self.norm_hidden(x)))
        return out

    def _attend(self, x: Tensor) -> Tensor:
        b, h, d = x.shape
        split = self.query_key_value(x).view(b, h, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(split[0], split[1], split[2], is_causal=True)
        out: Tensor = self.output(mixed.transpose(1, 2).reshape(b, h, d))
        return out
