"""Images as they might have been drawn, too: turned, stretched, moved and bent a little."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.seeds import Stream, generator

#: Changes whenever `distorted` gives other numbers, so that no older cached result is used.
VERSION = 2

_IMAGES_AT_ONCE = 1000
#: Standard deviations at strength 1: degrees, share of height and width, and shares of the width.
_DEGREES, _STRETCHING, _SHIFT, _BENDING = 6.0, 0.06, 0.4 / 28, 0.7 / 28
#: How far from each other, as a share of the width, places are bent alike: deviation of a Gaussian.
_SMOOTHNESS = 4 / 28


def distorted(images: NDArray[Any], strength: float, *, copy: int) -> NDArray[Any]:
    """Return every image turned, stretched, moved and bent by chance.

    Each is turned around its center by an angle with a standard deviation of 6 degrees, stretched vertically and
    horizontally by 6 %, and moved by 1.4 % of the width; then every pixel moves by 2.5 % of the width, along a random
    field that is smooth over a seventh of it. All of this is normal, and in proportion to `strength`. Pixels are read
    by linear interpolation, outside of the image those of its edge.

    Parameters
    ----------
    images : float or uint8 [num_images, height, width]
        Grey values.
    strength
        Factor of all the deviations.
    copy
        Number of the copy: others are distorted in other ways, the same number always in the same way.

    Returns
    -------
    [num_images, height, width]
        Of the type of `images`; whole numbers are rounded.

    Notes
    -----
    The field is periodic, so that opposite edges are bent alike.

    References
    ----------
    Simard, Steinkraus & Platt 2003, Best practices for convolutional neural networks applied to visual document
    analysis, section 2 (elastic and affine distortions). Differs in the normal field, instead of one that is uniform
    before it is smoothed, and in the strength.
    """
    result = np.empty_like(images)
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        rng = generator(0, Stream.DISTORTION, copy, start)
        rows = slice(start, start + _IMAGES_AT_ONCE)
        found = _distorted(images[rows].astype(np.float64), strength, rng)
        result[rows] = np.rint(found) if np.issubdtype(images.dtype, np.integer) else found
    return result


def _distorted(images: NDArray[np.float64], strength: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a block of images distorted by the next numbers of a generator."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    number, height, width = images.shape
    angle = np.deg2rad(rng.normal(0.0, _DEGREES * strength, (number, 1, 1)))
    stretching = np.exp(rng.normal(0.0, _STRETCHING * strength, (2, number, 1, 1)))
    moved = rng.normal(0.0, _SHIFT * width * strength, (2, number, 1, 1))
    smoothness = _SMOOTHNESS * width
    # Without an edge: noise that is repeated there would make it bend more than the rest.
    field = gaussian_filter(
        rng.standard_normal((2, number, height, width)), (0, 0, smoothness, smoothness), mode="wrap"
    )
    # Smoothing by a Gaussian of deviation s leaves white noise in a plane 1 / (2 sqrt(pi) s) of its deviation.
    field *= _BENDING * width * strength * 2 * np.sqrt(np.pi) * smoothness
    y, x = np.mgrid[:height, :width].astype(np.float64)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    from_y = (np.cos(angle) * y - np.sin(angle) * x) * stretching[0] + (height - 1) / 2 + moved[0] + field[0]
    from_x = (np.sin(angle) * y + np.cos(angle) * x) * stretching[1] + (width - 1) / 2 + moved[1] + field[1]
    which = np.broadcast_to(np.arange(number, dtype=np.float64)[:, None, None], images.shape)
    return np.asarray(map_coordinates(images, (which, from_y, from_x), order=1, mode="nearest"))
