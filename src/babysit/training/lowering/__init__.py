"""Lowering: how P members of one architecture are trained in one step."""

from babysit.training.lowering.choice import WAYS as WAYS
from babysit.training.lowering.choice import Lowering as Lowering
from babysit.training.lowering.choice import lower as lower
from babysit.training.lowering.forward import Forward as Forward
