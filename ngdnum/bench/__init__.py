"""`python -m ngdnum bench TASK`: natural gradient descent against its rivals, all tuned alike.

Every method searches a published grid of equally many settings on validation examples (`tuning`), for each
budget, and the winners are kept with the package (`tuned`).  The benchmark (`compare`) trains all methods in
turns with those settings, from fresh seeds, and records test errors; `step` times their steps alone.
"""

from .compare import compare
from .report import Report
from .step import time_steps
from .tasks import TASKS, find_task
from .tuned import Tuned, load_tuned
from .tuning import tune_task

__all__ = ["TASKS", "Report", "Tuned", "compare", "find_task", "load_tuned", "time_steps", "tune_task"]
