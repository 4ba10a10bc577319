"""The settings that the package brings are those which the stored trials found."""

from __future__ import annotations

import json

from ngdnum.experiments import tuned
from ngdnum.experiments.tasks import TASKS
from ngdnum.experiments.tuned import load_tuned, package_winners
from support.paths import BOOK

TRIALS = BOOK / "results" / "trials"


def test_winners_of_the_package_are_those_of_the_stored_trials():
    stored = {path.stem: load_tuned(path) for path in TRIALS.glob("*.json")}
    assert set(stored) == set(TASKS)
    assert package_winners() == {name: of.winners() for name, of in stored.items()}
    for name, found in stored.items():
        task = TASKS[name]
        assert found.seeds == list(task.tuning_seeds) and found.budgets == list(task.budgets) and found.complete
        assert set(found.methods) == {m.name for m in task.methods}
        tuned.check_current(found.winners(), task.methods)
        for m in task.methods:
            search = found.methods[m.name]
            assert all(trial["settings"] in m.grid for trial in search.trials)
            for budget, winner in search.winners.items():
                scores = {json.dumps(t["settings"]): t["score"] for t in search.trials if t["budget"] == budget}
                assert scores[json.dumps(winner)] == min(s for s in scores.values() if s is not None)
        trials = {name: len(search.trials) for name, search in found.methods.items()}
        ours = {count for name, count in trials.items() if name.startswith("NGD")}
        assert max(ours) <= min(count for name, count in trials.items() if not name.startswith("NGD"))
