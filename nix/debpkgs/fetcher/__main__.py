"""Run the command for the package set that this folder lies in."""

import sys
from pathlib import Path

from .command import main

sys.exit(main(home=Path(__file__).resolve().parent.parent))
