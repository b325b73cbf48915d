"""The parts of a run, in their order: what each measures stands in its module.

`SHARES` are their portions of a run's time on a GPU, where they sum to 600 seconds; what a part leaves over goes to the
ones after it.
"""

SHARES = {
    "build": 90,
    "device": 10,
    "ceilings": 15,
    "compiled": 15,
    "correctness": 95,
    "losses": 85,
    "attention": 100,
    "memory": 70,
    "training": 120,
}
GATED = ("losses", "attention", "training", "memory")
