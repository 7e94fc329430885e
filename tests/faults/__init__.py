"""The fault zoo: faulty training programs with healthy twins, and healthy ones that look unusual."""

from tests.faults import added as added
from tests.faults import faulty as faulty
from tests.faults import fine as fine
from tests.faults import later as later
from tests.faults.zoo import FAULTY as FAULTY
from tests.faults.zoo import HEALTHY as HEALTHY
