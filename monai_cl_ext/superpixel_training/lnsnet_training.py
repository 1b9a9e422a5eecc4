# SPDX-License-Identifier: Apache-2.0
"""Training of LNSNet without labels and with seeds on a grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer, weight
from monai_cl_ext.networks import LNSNet
from monai_cl_ext.superpixel_training.cluster_loss import SuperpixelClusterLoss
from monai_cl_ext.superpixel_training.edges import edge_strength
from monai_cl_ext.superpixel_training.gradient_scale import scaled_gradient
from monai_cl_ext.transforms.superpixels.color_place import color_and_place, color_channels
from monai_cl_ext.transforms.superpixels.slic import grid_cells

EDGE = 0.7  # strength from which a pixel counts as a contour


class LNSNetTraining(nn.Module):
    """LNSNet with its losses (Zhu et al., CVPR 2021), as far as paper and release tell, and the gaps filled here.

    The loss is that of the clusters + beta (squared error of the reconstructed color + phi that of the place). Two
    gradients are changed on their way back:

    - That of feature c is multiplied by 1 - d_c / (L_c + d_c), where d_c is the mean absolute weight of c in the
      reconstruction of color, times that of place, and L_c follows it as (d_c + L_c) / 2 after each step: features
      that color and place share change less where images before needed them.
    - That of the reconstructed place is multiplied by -e at contours, pixels whose edge strength e is at least 0.7, so
      that superpixels do not grow across them.

    Args:
        network: to be trained.
        n_segments: about how many seeds an image has.
        beta: weight of the reconstruction.
        phi: weight of place in it.
        neighbors: seeds nearest in place that a pixel may join.
    """

    images_per_step = 1
    steps_per_image = 50

    def __init__(
        self, network: LNSNet, n_segments: int = 100, beta: float = 10.0, phi: float = 1.0, neighbors: int = 9
    ) -> None:
        super().__init__()
        self.network = network
        self.n_segments = positive_integer("n_segments", n_segments)
        self.beta, self.phi = weight("beta", beta), weight("phi", phi)
        self.cluster_loss = SuperpixelClusterLoss(neighbors)
        self.level: Tensor
        self.register_buffer("level", self.shared())

    def forward(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss with its parts {"loss", "cluster", "color", "place"} of images (B, 1 or 3, H, W)."""
        color = color_channels(images)
        known = color_and_place(color)
        shared = self.shared()
        kept = (1 - shared / (self.level + shared).clamp_min(1e-12))[:, None, None]
        features = scaled_gradient(self.network(known), kept)
        edges = edge_strength(color[:, :1])
        turned = torch.where(edges >= EDGE, -edges, 1.0)
        told = self.network.reconstruct(features)
        of_color = (told[:, :3] - known[:, :3]).square().mean()
        of_place = (scaled_gradient(told[:, 3:], turned) - known[:, 3:]).square().mean()
        cluster = self.cluster_loss(features, grid_cells(images.shape[2:], self.n_segments))
        loss = cluster + self.beta * (of_color + self.phi * of_place)
        return {"loss": loss, "cluster": cluster.detach(), "color": of_color.detach(), "place": of_place.detach()}

    @torch.no_grad()
    def after_step(self) -> None:
        """Lets the level of each feature follow, see above."""
        self.level.lerp_(self.shared(), 0.5)

    def shared(self) -> Tensor:
        """How much color and place share each feature in the reconstruction, d_c of (20,), without gradient."""
        weights = self.network.reconstruction.weight.detach()[:, :, 0, 0].abs()
        return weights[:3].mean(0) * weights[3:].mean(0)

    def parameter_groups(self) -> list[dict[str, object]]:
        """What the optimizer is given."""
        return [{"params": list(self.network.parameters())}]
