"""`FairDropout`: dropout of one half, which needs a bit for each unit instead of a random number."""

import torch
from torch import Tensor, nn

_DOUBLED_BITS = 2.0 * ((torch.arange(256)[:, None] >> torch.arange(8)) & 1)
"""The bits of each byte, doubled. Shape [256, 8]."""


def dropout(share: float) -> nn.Module:
    """Dropout of a share of the units: the fast one for one half, else torch's."""
    return FairDropout() if share == 0.5 else nn.Dropout(share)


class FairDropout(nn.Module):
    """As `nn.Dropout(0.5)`, with other draws: on a CPU in a tenth of its time, which is a fifth of a RankNet step."""

    def forward(self, values: Tensor) -> Tensor:
        """Half of the values doubled, the others 0, while training."""
        if not self.training:
            return values
        return values * doubled_bits(values.numel(), values.device).view_as(values).to(values.dtype)


def doubled_bits(n: int, device: torch.device) -> Tensor:
    """Draws of 0 and 2, both alike, from torch's generator of the device. Shape [n]."""
    limits = torch.iinfo(torch.int64)
    words = torch.randint(limits.min, limits.max, (-(-n // 64),), device=device)
    octets = words.view(torch.uint8).int()
    return nn.functional.embedding(octets, _DOUBLED_BITS.to(device)).view(-1)[:n]
