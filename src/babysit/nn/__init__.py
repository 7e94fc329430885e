"""Activations, initialization, normalization, and the networks and layers that torch lacks."""

from babysit.nn.activations import ACTIVATIONS as ACTIVATIONS
from babysit.nn.activations import Activation as Activation
from babysit.nn.activations import activation as activation
from babysit.nn.activations import advice as advice
from babysit.nn.initialization import INITIALIZERS as INITIALIZERS
from babysit.nn.initialization import Initializer as Initializer
from babysit.nn.initialization import initialize as initialize
from babysit.nn.initialization import recommended as recommended
from babysit.nn.maxout import Maxout as Maxout
from babysit.nn.networks import mlp as mlp
from babysit.nn.networks import mlp_of as mlp_of
from babysit.nn.networks import two_layer as two_layer
from babysit.nn.normalization import fold_batch_norm as fold_batch_norm
from babysit.nn.normalization import insert_batch_norm as insert_batch_norm
from babysit.nn.normalization import redundant_biases as redundant_biases
