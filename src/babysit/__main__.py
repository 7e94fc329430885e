"""``python -m babysit``."""

from babysit.cli.main import main

main()
