"""The data room starts quickly: what only some sources need is imported by them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import babysit.data


@pytest.mark.slow
@pytest.mark.parametrize("code", ["import babysit.data", "import babysit.data; babysit.data.digits()"])
def test_heavy_packages_are_not_imported(code):
    heavy = "{'sklearn', 'pyarrow', 'pooch', 'PIL', 'pandas', 'requests'}"
    program = f"import sys; {code}; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_public_names_are_there():
    expected = {
        "Batches", "ChannelMean", "Dataset", "MeanImage", "PCA", "Split", "Standardize", "Transformer",
        "Whiten", "arrays", "cifar10", "csv", "digits", "evaluation_tensors", "fashion_mnist", "image_folder",
        "mnist", "npy",
        "npz", "parquet", "split", "validate",
    }  # fmt: skip
    public = {
        name for name, value in vars(babysit.data).items() if name[0] != "_" and hasattr(value, "__module__")
    }
    assert public == expected
