"""The network itself."""

from torch import Tensor, nn

from fusekit.interfaces import BuildContext, SegmentationNetwork
from fusekit_toyseg.config import SmallConfig


class SmallSegmenter(SegmentationNetwork):
    """Four convolutions that see 19×19 pixels. Takes (B, 1 or 3, H, W) in [0, 1], gives logits (B, K, H, W)."""

    Config = SmallConfig
    config: SmallConfig
    second_order = True

    def __init__(self, config: SmallConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)  # takes the class table from the context
        width = self.config.width
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2),
            nn.Tanh(),
            nn.Conv2d(width, width, 3, padding=4, dilation=4),
            nn.Tanh(),
            nn.Conv2d(width, len(self.classes), 3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image.mean(dim=1, keepdim=True) * 2 - 1)
