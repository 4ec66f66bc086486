"""`python -m evenface`, which is also what `torchrun -m evenface` starts."""

import sys

from evenface.cli import main

sys.exit(main())
