"""Lowering: the forms in which P members of one architecture are trained in one step."""

from babysit.training.lowering.forward import Forward as Forward
from babysit.training.lowering.selection import WAYS as WAYS
from babysit.training.lowering.selection import Lowering as Lowering
from babysit.training.lowering.selection import lower as lower
