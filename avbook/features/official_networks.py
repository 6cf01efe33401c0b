"""VGG-19, VGGish, ResNet-152 and R(2+1)D-18 up to their features, with the weight files' names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["VGG19", "VGGish", "ResNet152", "R2Plus1D18"]

# Output channels of the convolutions in each block; a 2×2 max-pooling ends a block.
VGG19_BLOCKS = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
VGGISH_BLOCKS = ((64,), (128,), (256, 256), (512, 512))
VGGISH_MAP = 6 * 4 * 512  # size of the last map of a 96×64 patch
RESNET_BLOCKS = (3, 8, 36, 3)  # bottlenecks in each of ResNet-152's four stages
R2PLUS1D_BLOCKS = (2, 2, 2, 2)  # basic blocks in each of R(2+1)D-18's four stages


# ---------------------------------------------------------------------------------------------- VGG
class VGG19(nn.Module):
    """VGG-19's sixteen 3×3 convolutions and five poolings; `block5_pool` in Keras.

    Parameters have Keras's layer names, such as `block1_conv1.weight`, in PyTorch's order (out, in,
    3, 3). Source: Simonyan and Zisserman 2015, configuration E, without the dense layers."""

    def __init__(self):
        super().__init__()
        channels = 3
        for b, block in enumerate(VGG19_BLOCKS, start=1):
            for c, width in enumerate(block, start=1):
                self.add_module(f"block{b}_conv{c}", nn.Conv2d(channels, width, 3, padding=1))
                channels = width

    def forward(
        self,
        pixels: torch.Tensor,  # (n, 3, H, W) BGR minus the mean of ImageNet, range about ±130
    ) -> torch.Tensor:
        """Maps (n, 512, H // 32, W // 32), never negative; (7, 7) for 224×224 pixels."""
        maps = pixels
        for b, block in enumerate(VGG19_BLOCKS, start=1):
            for c in range(1, len(block) + 1):
                maps = F.relu(self.get_submodule(f"block{b}_conv{c}")(maps))
            maps = F.max_pool2d(maps, 2)
        return maps


class VGGish(nn.Module):
    """VGGish with the ReLU after its last layer, and without PCA and quantisation.

    Parameters have torchvggish's names: `features.0.weight` … `embeddings.4.bias`. 72,141,184
    parameters. Source: Hershey et al. 2017; the ReLU is in the code that AVE and LLP used."""

    def __init__(self):
        super().__init__()
        layers = []
        channels = 1
        for block in VGGISH_BLOCKS:
            for width in block:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(VGGISH_MAP, 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 128),
            nn.ReLU(),
        )

    def forward(
        self,
        patches: torch.Tensor,  # (n, 96, 64) log-mel, time by band
    ) -> torch.Tensor:
        """Vectors (n, 128), never negative."""
        maps = self.features(patches[:, None])  # (n, 512, 6, 4)
        # the dense layers were trained in TensorFlow: time, band, channel
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))


# ------------------------------------------------------------------------------------------- ResNet
class Bottleneck(nn.Module):
    """A residual block of 1×1, 3×3 and 1×1 convolutions; the 3×3 has the stride."""

    def __init__(
        self,
        inputs: int,  # channels
        width: int,  # channels of the 3×3 convolution; the output has four times as many
        stride: int,  # pixels
    ):
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        if stride > 1 or inputs != outputs:
            self.downsample: nn.Module = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        else:
            self.downsample = nn.Identity()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        inner = F.relu(self.bn1(self.conv1(maps)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + self.downsample(maps))


class ResNet152(nn.Module):
    """ResNet-152 up to the mean over positions, without the layer `fc`.

    Parameters have torchvision's names, such as `layer1.0.conv1.weight`. Source: He et al. 2016, in
    torchvision's form, with the stride in the 3×3 convolution of a block."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for stage, count in enumerate(RESNET_BLOCKS):
            width = 64 * 2**stage
            blocks = []
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Bottleneck(channels, width, stride))
                channels = 4 * width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(
        self,
        pixels: torch.Tensor,  # (n, 3, H, W) RGB, normalised for ImageNet
    ) -> torch.Tensor:
        """Vectors (n, 2048), never negative."""
        maps = F.relu(self.bn1(self.conv1(pixels)))
        maps = F.max_pool2d(maps, 3, stride=2, padding=1)
        for stage in range(1, len(RESNET_BLOCKS) + 1):
            maps = self.get_submodule(f"layer{stage}")(maps)
        return maps.mean((2, 3))


# ------------------------------------------------------------------------------------------ R(2+1)D
def space_then_time(
    inputs: int,  # channels
    between: int,  # channels between the two convolutions
    outputs: int,  # channels
    stride: int,  # pixels and frames
) -> nn.Sequential:
    """A 1×3×3 convolution over positions, then a 3×1×1 convolution over frames."""
    return nn.Sequential(
        nn.Conv3d(inputs, between, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(between),
        nn.ReLU(),
        nn.Conv3d(between, outputs, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


class SpaceTimeBlock(nn.Module):
    """A residual block of two factorised 3×3×3 convolutions.

    The channels between space and time give the first one about as many weights as a full 3×3×3
    convolution; in torchvision the second one has the same number of channels."""

    def __init__(
        self,
        inputs: int,  # channels
        outputs: int,  # channels
        stride: int,  # pixels and frames
    ):
        super().__init__()
        between = inputs * outputs * 27 // (inputs * 9 + outputs * 3)
        self.conv1 = nn.Sequential(
            space_then_time(inputs, between, outputs, stride), nn.BatchNorm3d(outputs), nn.ReLU()
        )
        self.conv2 = nn.Sequential(
            space_then_time(outputs, between, outputs, 1), nn.BatchNorm3d(outputs)
        )
        if stride > 1 or inputs != outputs:
            self.downsample: nn.Module = nn.Sequential(
                nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs)
            )
        else:
            self.downsample = nn.Identity()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv2(self.conv1(maps)) + self.downsample(maps))


class R2Plus1D18(nn.Module):
    """R(2+1)D-18 up to the mean over positions and frames, without the layer `fc`.

    Parameters have torchvision's names, such as `layer1.0.conv1.0.0.weight`. Source: Tran et al.
    2018, in torchvision's form."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(45),
            nn.ReLU(),
            nn.Conv3d(45, 64, (3, 1, 1), 1, (1, 0, 0), bias=False),
            nn.BatchNorm3d(64),
            nn.ReLU(),
        )
        channels = 64
        for stage, count in enumerate(R2PLUS1D_BLOCKS):
            width = 64 * 2**stage
            blocks = []
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(SpaceTimeBlock(channels, width, stride))
                channels = width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(
        self,
        pixels: torch.Tensor,  # (n, 3, frames, H, W) RGB, normalised for Kinetics
    ) -> torch.Tensor:
        """Vectors (n, 512), never negative."""
        maps = self.stem(pixels)
        for stage in range(1, len(R2PLUS1D_BLOCKS) + 1):
            maps = self.get_submodule(f"layer{stage}")(maps)
        return maps.mean((2, 3, 4))
