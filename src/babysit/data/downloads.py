"""Download of named data sets from their public addresses; published checksums verify every file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from babysit.errors import DataError


@dataclass(frozen=True)
class Download:
    """The public address of a data set.

    Attributes:
        base: the address that file names are appended to; ends in "/".
        checksums: file name -> "md5:..." or "sha256:...".
    """

    base: str
    checksums: Mapping[str, str]


SOURCES = {
    "cifar10": Download(
        "https://www.cs.toronto.edu/~kriz/",
        {"cifar-10-python.tar.gz": "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"},
    ),
    "fashion-mnist": Download(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        {
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "mnist": Download(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
}
"""Public address of each named data set."""

DOWNLOAD_VARIABLE = "BABYSIT_DOWNLOAD"
"""Environment variable that permits downloads."""


def wanted(download: bool) -> bool:
    """Tells whether a download was requested, by argument or by ``BABYSIT_DOWNLOAD=1``."""
    return download or os.environ.get(DOWNLOAD_VARIABLE, "").lower() in ("1", "true", "yes")


def fetch(name: str, folder: Path) -> None:
    """Downloads the files of a data set into a folder; files there with the right checksum stay.

    Args:
        name: "cifar10", "fashion-mnist" or "mnist".
        folder: created if absent.

    Raises:
        DataError: no network, the server has no such file, the folder cannot be written, or a checksum
            differs; the message names the file, its address and the folder to put it in.
    """
    import pooch

    source = SOURCES[name]
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=60)
    for file, checksum in source.checksums.items():
        try:
            pooch.retrieve(
                source.base + file, known_hash=checksum, fname=file, path=folder, downloader=downloader
            )
        except Exception as error:  # network, proxy, disk and checksum each raise their own kind
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            problem = f"{source.base}{file} could not be downloaded: {reason}"
            fix = f"check the network and try again, or put {file} ({checksum}) into {folder} yourself"
            raise DataError(problem, fix=fix) from error
