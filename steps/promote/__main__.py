"""`python -m steps.promote`."""

import sys

from steps.promote.questions import answer_cli
from steps.wrapper import main

if not answer_cli(sys.argv[1:]):
    main("promote")
