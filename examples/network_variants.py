"""An MNIST network and five others that should do the same, as ONNX files in a folder.

    python network_variants.py FOLDER
    sensverify diff FOLDER/net.onnx FOLDER/int8.onnx --data mnist --samples 0:100 --radius 0.01

`net` is trained for ten epochs, `epoch` for one more; `int8` has weights of 255 values a tensor,
`pruned` a fifth of them at zero, `permuted` its neurons in another order, and `ulp` the next larger
number of 32 bits for every weight.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

import sensverify as sv


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def train(net: nn.Module, epochs: int, rate: float, seed: int) -> None:
    data = sv.load_data("mnist")
    x, y = torch.as_tensor(data.x).float(), torch.as_tensor(data.y).long()
    # The first thousand are for the comparison.
    x, y = x[1000:].reshape(-1, 1, 28, 28), y[1000:]
    steps, random = torch.optim.Adam(net.parameters(), rate), torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for part in torch.randperm(len(x), generator=random).split(128):
            steps.zero_grad()
            nn.functional.cross_entropy(net(x[part]), y[part]).backward()
            steps.step()


def layers(net: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in net if isinstance(layer, nn.Linear)]


def int8(net: nn.Sequential) -> None:
    for layer in layers(net):
        scale = layer.weight.abs().max() / 127
        layer.weight.copy_((layer.weight / scale).round() * scale)


def pruned(net: nn.Sequential) -> None:
    for layer in layers(net):
        limit = layer.weight.abs().flatten().kthvalue(layer.weight.numel() // 5).values
        layer.weight.mul_(layer.weight.abs() > limit)


def permuted(net: nn.Sequential) -> None:
    random, every = torch.Generator().manual_seed(1), layers(net)
    for layer, reader in pairwise(every):
        order = torch.randperm(layer.out_features, generator=random)
        layer.weight.copy_(layer.weight[order].clone())
        layer.bias.copy_(layer.bias[order].clone())
        reader.weight.copy_(reader.weight[:, order].clone())


def ulp(net: nn.Sequential) -> None:
    for layer in layers(net):
        layer.weight.copy_(torch.nextafter(layer.weight, torch.tensor(torch.inf)))


def write(net: nn.Module, path: Path) -> None:
    torch.onnx.export(
        net.eval(),
        (torch.zeros(1, 1, 28, 28),),
        path,
        dynamic_axes={"x": {0: "batch"}},
        input_names=["x"],
        dynamo=False,
    )


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    net = network()
    train(net, 10, 1e-3, seed=0)
    write(net, folder / "net.onnx")
    for change in (int8, pruned, permuted, ulp):
        copy = deepcopy(net)
        with torch.no_grad():
            change(copy)
        write(copy, folder / f"{change.__name__}.onnx")
    train(net, 1, 1e-4, seed=1)
    write(net, folder / "epoch.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
