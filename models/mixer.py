"""A mixer: small blocks of an image, mixed with one another and within, in turns."""

from __future__ import annotations

from torch import Tensor, nn


class Mixer(nn.Module):
    """Tolstikhin et al. 2021, *MLP-Mixer: An all-MLP architecture for vision*, with one block.

    Patches of ``patch x patch`` pixels become tokens of ``width`` numbers. One fully-connected
    network with GELU mixes the tokens, the same for every number of theirs; another one mixes the
    numbers, the same for every token. Layer normalisation stands before either and before the mean
    over the tokens, from which a linear layer takes the logits.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, rows and columns; the patch divides the last two.
    outputs : int
    patch, width, token_mlp, channel_mlp : int
        Of a patch its side; of a token its length; the hidden layers of the two networks.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        outputs: int,
        *,
        patch: int,
        width: int,
        token_mlp: int,
        channel_mlp: int,
    ) -> None:
        super().__init__()
        channels, rows, columns = input_shape
        tokens = (rows // patch) * (columns // patch)
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.before_tokens, self.before_channels = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = _mlp(tokens, token_mlp)
        self.channels = _mlp(width, channel_mlp)
        self.last = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[batch, outputs]`` of images ``[batch, *input_shape]``."""
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = y + self.tokens(self.before_tokens(y).transpose(1, 2)).transpose(1, 2)
        y = y + self.channels(self.before_channels(y))
        logits: Tensor = self.head(self.last(y).mean(1))
        return logits


def _mlp(size: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size))
