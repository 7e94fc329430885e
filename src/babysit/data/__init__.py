"""Data for training: sources, splits, preprocessing fitted on the training split, seeded mini-batches."""

from babysit.data.batches import Batches as Batches
from babysit.data.batches import evaluation_tensors as evaluation_tensors
from babysit.data.dataset import Dataset as Dataset
from babysit.data.dataset import Split as Split
from babysit.data.dataset import split as split
from babysit.data.decorrelation import PCA as PCA
from babysit.data.decorrelation import Whiten as Whiten
from babysit.data.preprocessing import ChannelMean as ChannelMean
from babysit.data.preprocessing import MeanImage as MeanImage
from babysit.data.preprocessing import Standardize as Standardize
from babysit.data.preprocessing import Transformer as Transformer
from babysit.data.sources import arrays as arrays
from babysit.data.sources import cifar10 as cifar10
from babysit.data.sources import csv as csv
from babysit.data.sources import digits as digits
from babysit.data.sources import fashion_mnist as fashion_mnist
from babysit.data.sources import image_folder as image_folder
from babysit.data.sources import mnist as mnist
from babysit.data.sources import npy as npy
from babysit.data.sources import npz as npz
from babysit.data.sources import parquet as parquet
from babysit.data.validity import validate as validate
