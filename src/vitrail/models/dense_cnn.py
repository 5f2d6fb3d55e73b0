"""A CNN of timm with logits for each cell of its last feature map instead of their mean."""

from typing import Any

import torch
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.models.heads import refuse_uneven


class DenseCNN(nn.Module):
    """`backbone` has neither pool nor classifier; a linear layer reads each cell of its feature map."""

    def __init__(self, backbone: Any, classes: int, image_size: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pretrained_cfg = backbone.pretrained_cfg
        self.head = nn.Linear(backbone.head_hidden_size, classes)
        with torch.no_grad():
            features = backbone.eval()(torch.zeros(1, 3, image_size, image_size))
        backbone.train()
        if features.ndim != 4 or features.shape[1] != self.head.in_features:
            raise UsageError(f"{type(backbone).__name__} has no feature map: choose another network, or a ViT")
        refuse_uneven(image_size, (features.shape[2], features.shape[3]))

    def forward_features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.backbone.forward_features(pixels)  # [B, D, h, w]
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        vectors: Tensor = self.backbone.forward_head(features).movedim(1, -1)  # [B, h, w, D]
        return vectors if pre_logits else self.head(vectors)

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] → logits [B, h, w, K]."""
        return self.forward_head(self.forward_features(pixels))
