"""Pictures of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np


def gallery(
    canvas: Any, images: np.ndarray, label: str, names: list[str], cmap: str, middle: bool = False
) -> None:
    """Square images in rows of five with one colour scale.

    Args:
        canvas: a matplotlib Figure.
        images: (n, side * side).
        label: of the colour scale.
        names: of the images.
        cmap: a colour map.
        middle: the scale is symmetric about 0.
    """
    side = int(np.sqrt(images.shape[1]))
    high = np.abs(images).max() if middle else images.max()
    low = -high if middle else images.min()
    grid = canvas.subplots(-(-len(images) // 5), 5, squeeze=False)
    for axes, image, name in zip(grid.flat, images, names, strict=True):
        drawn = axes.imshow(image.reshape(side, side), cmap=cmap, vmin=low, vmax=high)
        axes.set_title(name, fontsize=9)
        axes.set(xticks=[], yticks=[])
    canvas.colorbar(drawn, ax=grid, label=label, shrink=0.8)
