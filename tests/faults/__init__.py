"""Training programs with known faults: the zoo (``FAULTY``, ``HEALTHY``), and programs rebuilt from threads.

``FIELD`` holds those from forums and repositories, ``ISSUES`` those from later finds, most on GitHub. No
threshold was chosen on the programs of the set "later", nor on half "B" of the rebuilt ones.
"""

from tests.faults import custom_gradients_and_penalties as custom_gradients_and_penalties
from tests.faults import faulty as faulty
from tests.faults import forum_healthy as forum_healthy
from tests.faults import forum_loops as forum_loops
from tests.faults import forum_networks as forum_networks
from tests.faults import github_data_and_rates as github_data_and_rates
from tests.faults import github_healthy as github_healthy
from tests.faults import github_loops as github_loops
from tests.faults import github_losses as github_losses
from tests.faults import github_networks as github_networks
from tests.faults import healthy as healthy
from tests.faults import varied_architectures as varied_architectures
from tests.faults.rebuilt_programs import FIELD as FIELD
from tests.faults.rebuilt_programs import ISSUES as ISSUES
from tests.faults.zoo import FAULTY as FAULTY
from tests.faults.zoo import HEALTHY as HEALTHY
