"""The fault zoo: faulty programs with healthy twins, healthy ones that look unusual, and the field."""

from tests.faults import added as added
from tests.faults import faulty as faulty
from tests.faults import field_fine as field_fine
from tests.faults import field_loops as field_loops
from tests.faults import field_networks as field_networks
from tests.faults import fine as fine
from tests.faults import issues_data as issues_data
from tests.faults import issues_fine as issues_fine
from tests.faults import issues_loops as issues_loops
from tests.faults import issues_networks as issues_networks
from tests.faults import issues_pairing as issues_pairing
from tests.faults import later as later
from tests.faults.field import FIELD as FIELD
from tests.faults.field import ISSUES as ISSUES
from tests.faults.zoo import FAULTY as FAULTY
from tests.faults.zoo import HEALTHY as HEALTHY
