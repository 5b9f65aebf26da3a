"""Resize and deskew against values computed with OpenCV, and against interpolation by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from topoevo.tasks.images import deskew, resize, small_upright


def slanted_bar() -> np.ndarray:
    y, x = np.mgrid[:28, :28]
    return np.clip(300 - 9 * (2 * (x - 13) + (y - 14)) ** 2 // 4 - (y - 14) ** 2, 0, 255).astype(np.uint8)


def test_values_of_opencv():
    # cv2 5.0.0, in float64: resize to 16x16, moments, warpAffine with WARP_INVERSE_MAP and INTER_LINEAR. Over all
    # images of MNIST and Fashion-MNIST the largest difference from it is 3.0e-8, the rounding to float32.
    image = small_upright(slanted_bar()[None], 16).reshape(16, 16)
    row_3 = [0, 0, 0, 0, 0.09252451, 0.398192402, 0.733210784, 0.866666667, 0.779534314, 0.47622549, 0.135814951]
    row_11 = [0, 0, 0, 0, 0.153400735, 0.534558824, 0.881158088, 1, 0.915900735, 0.627205882, 0.213235294, 0.001930147]
    np.testing.assert_allclose(image[3], row_3 + [0] * 5, atol=1e-7)
    np.testing.assert_allclose(image[11], row_11 + [0] * 4, atol=1e-7)
    assert image.sum(dtype=float) == pytest.approx(57.345710784, abs=1e-5)


@pytest.mark.parametrize("size", [4, 16, 20, 28])
def test_resize_interpolates_between_pixel_centers(size):
    images = np.random.default_rng(0).random((3, 28, 28))
    centers = np.clip((np.arange(size) + 0.5) * 28 / size - 0.5, 0, 27)
    grid = np.meshgrid(centers, centers, indexing="ij")
    expected = [map_coordinates(image, grid, order=1, mode="nearest") for image in images]
    np.testing.assert_allclose(resize(images, size), expected, atol=1e-6)


def test_deskew_shifts_rows_by_the_skew_of_the_moments():
    rng = np.random.default_rng(0)
    images = rng.random((50, 16, 16)) * (rng.random((50, 16, 16)) < 0.2)
    y, x = np.mgrid[:16, :16].astype(float)
    upright = deskew(images)
    moved = 0.0
    for image, result in zip(images, upright, strict=True):
        mean_x, mean_y = (image * x).sum() / image.sum(), (image * y).sum() / image.sum()
        skew = (image * (x - mean_x) * (y - mean_y)).sum() / (image * (y - mean_y) ** 2).sum()
        expected = map_coordinates(image, [y, x + skew * (y - 8)], order=1, mode="grid-constant")
        # Positions are rounded to 1/32 pixel, and neighboring pixels differ by at most 1.
        np.testing.assert_allclose(result, expected, atol=1 / 64 + 1 / 512)
        moved = max(moved, np.abs(result - image).max())
    assert moved > 0.5


def test_a_bar_becomes_upright():
    image = small_upright(slanted_bar()[None], 16).reshape(16, 16).astype(float)
    y, x = np.mgrid[:16, :16]
    mean_x, mean_y = (image * x).sum() / image.sum(), (image * y).sum() / image.sum()
    covariance = (image * (x - mean_x) * (y - mean_y)).sum() / (image * (y - mean_y) ** 2).sum()
    assert abs(covariance) < 0.02


def test_blank_and_flat_images_stay():
    images = np.zeros((2, 16, 16))
    images[1, 5] = 1  # one row: no vertical extent, so no skew
    assert (deskew(images) == images).all()


def test_number_of_images_at_once_does_not_matter():
    images = np.random.default_rng(0).integers(0, 256, (1003, 28, 28)).astype(np.uint8)
    together = small_upright(images, 16)
    assert np.abs(together[1000:] - small_upright(images[1000:], 16)).max() < 1e-6
