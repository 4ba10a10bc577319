"""Write the settings that the package keeps from the trials that the book keeps.

python book/_ext/winners.py
"""

from __future__ import annotations

from pathlib import Path

from ngdnum.experiments.tasks import TASKS
from ngdnum.experiments.tuned import load_tuned, save_winners

TRIALS = Path(__file__).resolve().parents[1] / "results" / "trials"


if __name__ == "__main__":
    stored = {task: TRIALS / f"{task}.json" for task in TASKS}
    save_winners({task: load_tuned(path).winners() for task, path in stored.items() if path.exists()})
