"""``python -m dftlrp``."""

import sys

from dftlrp.cli import main

sys.exit(main())
