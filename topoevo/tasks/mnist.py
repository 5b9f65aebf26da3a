"""Handwritten digits and pieces of clothing of 28x28 pixels, from the four IDX files they are published as."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.registry import option
from topoevo.tasks import distortion, images
from topoevo.tasks.base import DATASETS, Dataset, DataSettings, Progress, RawData
from topoevo.tasks.cache import cache_folder, cached_array, download
from topoevo.tasks.idx import parse_idx, read_content

PUBLISHED_SIZE = 28
_PUBLISHED = (PUBLISHED_SIZE, PUBLISHED_SIZE)
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@dataclass(frozen=True)
class ImageFiles(Dataset):
    """Images and labels in four IDX files; resized, deskewed and kept in the user's cache.

    Parameters
    ----------
    image_size
        Height and width in pixels. 28 is the published images divided by 255; smaller ones are also deskewed.
    """

    #: Name of each file -> sha256 of the published one.
    hashes: ClassVar[Mapping[str, str]]
    #: Addresses of folders that hold the four files.
    mirrors: ClassVar[tuple[str, ...]]
    class_names: ClassVar[tuple[str, ...]]
    #: Folder below ``data_dir`` that other programs keep the files in.
    common_folder: ClassVar[str]

    image_size: int = option(
        16, "height and width of the images in pixels; 28: as published, not deskewed", ge=4, le=28
    )

    def read(self, settings: DataSettings, on_progress: Progress) -> RawData:
        """Return training and test images; a file that is nowhere is downloaded.

        Raises
        ------
        TaskError
            If a file is missing and cannot be downloaded, is corrupt, or belongs to another data set.
        """
        if not 4 <= self.image_size <= PUBLISHED_SIZE:
            raise TaskError(f"image_size: {self.image_size} is not allowed, must be 4 to {PUBLISHED_SIZE}")
        paths = self._find(settings.data_dir, on_progress)
        contents = {file_name: read_content(path) for file_name, path in paths.items()}
        found = {file_name: hashlib.sha256(content).hexdigest() for file_name, content in contents.items()}
        for other in ImageFiles.__subclasses__():
            strangers = [str(paths[file_name]) for file_name in FILES if found[file_name] == other.hashes[file_name]]
            if other.name != self.name and strangers:
                raise TaskError(f"{strangers[0]}: is a file of {other.name}, not of {self.name}")
        training, test = (
            self._read_part(
                paths, contents, found, images_name=FILES[first], labels_name=FILES[first + 1], say=on_progress
            )
            for first in (0, 2)
        )
        size = self.image_size
        deskewed = "" if size == PUBLISHED_SIZE else f", resized to {size}x{size} (bilinear) and deskewed by moments"
        return RawData(
            kind="classification",
            inputs=training[0],
            targets=training[1],
            test_inputs=test[0],
            test_targets=test[1],
            input_names=tuple(f"pixel_{row}_{column}" for row in range(size) for column in range(size)),
            output_names=self.class_names,
            provenance={
                "dataset": self.name,
                "sha256": found,
                "preprocessing": f"{PUBLISHED_SIZE}x{PUBLISHED_SIZE} pixels divided by 255{deskewed}",
            },
            distort=partial(
                self._distorted,
                paths[FILES[0]],
                contents[FILES[0]],
                found[FILES[0]],
                settings.distorted_copies,
                on_progress,
            ),
        )

    def _read_part(
        self,
        paths: Mapping[str, Path],
        contents: Mapping[str, bytes],
        hashes: Mapping[str, str],
        *,
        images_name: str,
        labels_name: str,
        say: Progress,
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return images [num_samples, image_size ** 2] and labels of the training or test set."""
        labels = parse_idx(contents[labels_name], paths[labels_name], item_shape=())
        if labels.max() >= len(self.class_names):
            raise TaskError(
                f"{paths[labels_name]}: has label {labels.max()}, expected 0 to {len(self.class_names) - 1}"
            )

        def prepare() -> NDArray[np.float32]:
            pixels = parse_idx(contents[images_name], paths[images_name], item_shape=_PUBLISHED)
            if len(pixels) != len(labels):
                raise TaskError(
                    f"{paths[images_name]}: has {len(pixels)} images, but {paths[labels_name]} has {len(labels)} labels"
                )
            say(f"preparing {len(pixels)} images of {self.name} (once)")
            return self._prepared(pixels)

        shape = len(labels), self.image_size**2
        return cached_array(self._key(hashes[images_name]), shape, prepare, say=say), labels

    def _distorted(
        self, path: Path, content: bytes, sha256: str, num_copies: int, say: Progress, strength: float, copy: int
    ) -> NDArray[np.float32]:
        """Return the images of a file, of that content and hash, distorted before they are made smaller."""
        pixels = parse_idx(content, path, item_shape=_PUBLISHED)

        def prepare() -> NDArray[np.float32]:
            say(f"distorting {len(pixels)} images of {self.name}, copy {copy + 1} of {num_copies} (once)")
            return self._prepared(distortion.distorted(pixels, strength, copy=copy))

        key = f"{self._key(sha256)}-distorted-{float(strength)!r}-{copy}-v{distortion.VERSION}"
        return cached_array(key, (len(pixels), self.image_size**2), prepare, say=say)

    def _prepared(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return images [num_images, 28, 28] as inputs of a network."""
        if self.image_size == PUBLISHED_SIZE:
            return np.divide(pixels.reshape(len(pixels), -1), 255, dtype=np.float32)
        return images.small_upright(pixels, self.image_size)

    def _key(self, sha256: str) -> str:
        """Name in the cache of the images of a file."""
        return f"{sha256[:32]}-{self.image_size}-v{images.VERSION}"

    def _find(self, data_dir: str | None, on_progress: Progress) -> dict[str, Path]:
        """Return the path of each of the four files: in ``data_dir``, else in the user's cache, else downloaded."""
        kept = cache_folder() / self.name
        folders = [kept]
        if data_dir is not None:
            root = Path(os.path.expanduser(data_dir))
            if not os.path.isdir(root):
                raise TaskError(f"data_dir: there is no folder {data_dir!r}")
            folders = [root, root / self.name, root / self.common_folder, kept]
        for folder in folders:
            found = {file_name: path for file_name in FILES if (path := _existing(folder, file_name)) is not None}
            if len(found) == len(FILES):
                return found
            if found and folder != kept:
                missing = ", ".join(file_name for file_name in FILES if file_name not in found)
                raise TaskError(f"data_dir: {folder} has some files of {self.name}, but not {missing}")
        try:
            for file_name in FILES:
                if file_name not in found:
                    found[file_name] = download(
                        file_name,
                        sha256=self.hashes[file_name],
                        mirrors=self.mirrors,
                        folder=kept,
                        on_progress=on_progress,
                    )
        except TaskError as error:
            raise TaskError(
                f"data set {self.name!r} is not on this machine, and {error}. Put {', '.join(FILES)} "
                f"(as published, or unpacked) into {kept}, or name their folder with data_dir"
            ) from error
        return found


@DATASETS.register
@dataclass(frozen=True)
class Mnist(ImageFiles):
    """60,000 training and 10,000 test images of handwritten digits.

    References
    ----------
    Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits. Resized and deskewed as in
    jrieke/evolution-learning.
    """

    name: ClassVar[str] = "mnist"
    hashes: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
    mirrors: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    class_names: ClassVar[tuple[str, ...]] = tuple(str(digit) for digit in range(10))
    common_folder: ClassVar[str] = "MNIST/raw"


@DATASETS.register
@dataclass(frozen=True)
class FashionMnist(ImageFiles):
    """60,000 training and 10,000 test images of clothing, prepared as those of MNIST.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms, arXiv 1708.07747, 2017.
    """

    name: ClassVar[str] = "fashion-mnist"
    hashes: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    }
    mirrors: ClassVar[tuple[str, ...]] = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    )
    class_names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    common_folder: ClassVar[str] = "FashionMNIST/raw"


def _existing(folder: Path, file_name: str) -> Path | None:
    """Return the path of a file under one of the names it goes by, or None."""
    unpacked = file_name.removesuffix(".gz")
    for name in (file_name, unpacked, unpacked.replace("-idx", ".idx")):
        # Unlike `Path.is_file`, false also where a folder may not be looked into.
        if os.path.isfile(folder / name):
            return folder / name
    return None
