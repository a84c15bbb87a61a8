"""`python -m steps.promote`."""

import sys

from steps.promote.questions import answered
from steps.wrapper import main

if not answered(sys.argv[1:]):
    main("promote")
