"""`engine.compile: auto`: what is chosen, by made-up clocks, and that trying leaves nothing behind."""

import copy
import logging
import os
import random
import signal
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from mlcfast.config import load_config
from mlcfast.engine import Choice, Process, Work, choose_form, compiling, internals, keep_form
from mlcfast.engine.compiling import COMPILED, EAGER, GRAPHS, Timing, candidates, decide
from mlcfast.losses import AsymmetricLoss, EPRLoss
from mlcfast.models.activation_checkpointing import enable_activation_checkpointing
from mlcfast.training.form import in_words, settle_form
from mlcfast.training.run import run
from tests.conftest import ROOT, write_colour_set
from tests.engine import test_coupling as coupling
from tests.engine import test_label_table as table
from tests.engine.compile_trial import LONG, STEP, Stage, by_dynamo, set_up, tried
from tests.engine.test_parity import run_two
from tests.test_train import events, without_time

IMAGES = torch.randn(table.B, table.D, generator=torch.Generator().manual_seed(3))


@pytest.fixture(autouse=True)
def whole_log():
    logging.getLogger("mlcfast").setLevel(logging.INFO)


def engine_of(*words: str, model: nn.Module | None = None):
    return coupling.engine_of(AsymmetricLoss(), table.B, *words, model=model or coupling.Dropped())


SLOW = Timing(80.0, 0.75)


@pytest.mark.parametrize(
    ("timings", "left", "form", "why"),
    [
        ({COMPILED: SLOW}, LONG, COMPILED, "repaid after 320 of 10000 micro-batches"),
        ({COMPILED: SLOW}, 320, COMPILED, "repaid after 320 of 320 micro-batches"),
        ({COMPILED: SLOW}, 319, EAGER, "compiled would be repaid after 320 micro-batches, and 319 are left"),
        ({COMPILED: Timing(1.0, 0.96)}, LONG, EAGER, "no other form is 5 % faster"),
        ({COMPILED: Timing(1.0, 1.5)}, LONG, EAGER, "no other form is 5 % faster"),
        ({COMPILED: SLOW, GRAPHS: Timing(90.0, 0.5)}, LONG, GRAPHS, "repaid after 180 of 10000 micro-batches"),
        ({COMPILED: SLOW, GRAPHS: Timing(2600.0, 0.5)}, LONG, COMPILED, "repaid after 320 of 10000 micro-batches"),
        ({COMPILED: Timing(failure="no compiler"), GRAPHS: SLOW}, LONG, GRAPHS, "repaid after 320 of 10000 micro-ba"),
        ({COMPILED: Timing(failure="no compiler")}, LONG, EAGER, "no other form can be executed"),
    ],
)
def test_the_form_that_ends_the_run_first(timings, left, form, why):
    choice = decide({EAGER: Timing(3.0, 1.0), **timings}, left)
    assert choice.form == form and choice.why.startswith(why) and next(iter(choice.timings)) == EAGER


@pytest.mark.parametrize(
    ("step", "left", "form", "forms", "forgotten"),
    [
        (STEP, LONG, GRAPHS, [EAGER, COMPILED, GRAPHS], 0),
        (STEP | {GRAPHS: 0.9}, LONG, COMPILED, [EAGER, COMPILED, GRAPHS, EAGER, COMPILED], 1),
        (STEP | {GRAPHS: 1.0, COMPILED: 1.0}, LONG, EAGER, [EAGER, COMPILED, GRAPHS, EAGER, EAGER], 1),
        (STEP, 299, EAGER, [EAGER], 0),  # five minutes ahead are where it begins to be worth trying
    ],
)
def test_what_is_tried_and_what_remains(step, left, form, forms, forgotten):
    """What lost is forgotten, with the memory it holds; the form that stays is the one asked for last."""
    engine = engine_of()
    stage = Stage(engine.training_module.model, step)
    choice = tried(engine, stage, IMAGES, left)
    assert (choice.form, stage.forms, stage.forgotten) == (form, forms, forgotten)
    if form == GRAPHS:
        seconds = {EAGER: 1.0, COMPILED: 0.75, GRAPHS: 0.5}
        first = {EAGER: 3.0, COMPILED: 81.5, GRAPHS: 91.0}
        assert {name: timing.step for name, timing in choice.timings.items()} == pytest.approx(seconds)
        assert {name: timing.first for name, timing in choice.timings.items()} == pytest.approx(first)
        assert in_words(choice) == (
            "CUDA graphs, repaid after 182 of 10000 micro-batches; a micro-batch takes 1000 ms eager, 750 ms compiled "
            "after 81.5 s of compiling, 500 ms CUDA graphs after 91 s of compiling"
        )


def test_one_slow_step_does_not_decide():
    engine = engine_of()
    late = iter([0.0] * 12 + [1000.0] + [0.0] * 100)  # in one of the compiled form's steps that count
    stage = Stage(engine.training_module.model)
    engine.training_module.model.register_forward_hook(lambda *_: setattr(stage, "now", stage.now + next(late)))
    assert tried(engine, stage, IMAGES).timings[COMPILED].step == 0.75


@pytest.mark.parametrize(
    ("words", "accumulation", "forms", "why"),
    [
        ((), 1, [COMPILED, GRAPHS], ""),
        ((), 2, [COMPILED], ""),  # gradients that add up would lie in memory that the next replay overwrites
    ],
)
def test_which_forms_are_candidates(monkeypatch, words, accumulation, forms, why):
    engine = engine_of(*words)
    assert candidates(engine, accumulation) == ([], "compiling is for GPUs; on the CPU it takes minutes")
    monkeypatch.setattr(compiling, "compiles", lambda device: True)
    assert candidates(engine, accumulation) == (forms, why)
    engine.process = Process(0, 0, 2, "torchrun")
    assert candidates(engine, accumulation) == ([COMPILED], "")


def test_what_is_not_compiled(monkeypatch):
    """Two passes of which the second must draw as the first; CUDA graphs where activations are recomputed."""
    monkeypatch.setattr(compiling, "compiles", lambda device: True)
    coupled = coupling.engine_of(EPRLoss(1.5), 2, model=coupling.Dropped())
    assert candidates(coupled, 4) == ([], "the loss goes through every micro-batch twice and must draw alike")
    assert candidates(coupled, 1) == ([COMPILED, GRAPHS], "")
    engine, model = engine_of(), coupling.Dropped()
    model.checkpoint_units = lambda: [model.layers[2]]
    enable_activation_checkpointing(model)
    engine.training_module.model = model
    assert candidates(engine, 1) == ([COMPILED], "")


def snapshot(engine) -> dict:
    module = engine.training_module
    return {
        "state": copy.deepcopy(vars(engine.export_state())),
        "buffers": {name: buffer.clone() for name, buffer in module.named_buffers()},
        "gradients": {name: p.grad for name, p in module.named_parameters()},
        "optimizer": copy.deepcopy(engine.optimizer.state_dict()),
        "modes": {name: part.training for name, part in module.named_modules()},
        "random": (torch.get_rng_state(), np.random.get_state()[1], random.getstate()),
        "statistic": module.statistic,
    }


def assert_same(one, other) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    elif isinstance(one, (torch.Tensor, np.ndarray)):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    else:
        assert one == other


@pytest.mark.parametrize(
    ("precision", "ends"),
    [("fp32", EAGER), ("fp16", COMPILED), ("bf16", RuntimeError), ("fp32", KeyboardInterrupt)],
)
def test_trying_leaves_no_trace(precision, ends):
    """By the real compiler in front of its kernels; also where it, or a person, breaks off in the middle of a step."""
    engine = engine_of(f"engine.precision={precision}")
    module = engine.training_module
    engine.micro_step(*coupling.batches_of(0, table.B)[0], last=True)
    engine.step()  # there are moments, an average and running statistics to lose
    module.model.layers[1].eval()
    seen: list = []
    module.on_logits = lambda logits, index: seen.append(logits)
    before = snapshot(engine)
    stage = Stage(module.model, {EAGER: 1.0, COMPILED: 0.5 if ends == COMPILED else 1.0, GRAPHS: 1.0})
    stage.compile = by_dynamo
    if isinstance(ends, type):
        passes = iter(range(1000))

        def break_off(part: nn.Module, args: tuple, out: torch.Tensor) -> None:
            if stage.forms[-1] != EAGER and next(passes) == 1:
                raise ends("in the middle\nof a step")

        handle = module.model.register_forward_hook(break_off)
    if ends is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            tried(engine, stage, IMAGES)
    else:
        choice = tried(engine, stage, IMAGES)
        assert choice.form == (COMPILED if ends == COMPILED else EAGER)
        assert choice.timings[COMPILED].failure == ("RuntimeError: in the middle" if ends is RuntimeError else "")
    if isinstance(ends, type):
        handle.remove()
    stage.handle.remove()
    assert not seen
    assert_same(before, snapshot(engine))


def test_a_failing_eager_step_is_the_runs_own_failure():
    engine = engine_of()
    stage = Stage(engine.training_module.model, {})
    with pytest.raises(KeyError):
        tried(engine, stage, IMAGES)


def test_a_signal_ends_the_trial(monkeypatch):
    """Nothing is decided then, and no form is tried any more."""
    for asks, forms in ((1, [EAGER]), (2, [EAGER, EAGER, EAGER])):
        engine = engine_of()
        stage, asked = Stage(engine.training_module.model), iter(range(100))
        set_up(monkeypatch, stage)
        choice = choose_form(engine, Work(IMAGES, 1, LONG), lambda: next(asked) >= asks - 1)  # noqa: B023 - called here
        assert choice.form == "" and stage.forms == forms


def test_a_run_keeps_its_form(monkeypatch):
    engine, work = engine_of(), Work(IMAGES, 1, LONG)
    stage = Stage(engine.training_module.model)
    no_more = "compiled, as before, is not for this run any more: compiling is for GPUs; on the CPU it takes minutes"
    assert keep_form(engine, work, COMPILED) == Choice(EAGER, no_more)
    set_up(monkeypatch, stage)
    assert keep_form(engine, work, EAGER).why == "as before" and stage.forms == []
    # Resumed with smaller micro-batches, CUDA graphs would add up wrong gradients.
    choice = keep_form(engine, work._replace(accumulation=2), GRAPHS)
    assert choice == Choice(EAGER, "CUDA graphs, as before, is not for this run any more") and stage.forms == []
    before = snapshot(engine)
    assert keep_form(engine, work, COMPILED).form == COMPILED and stage.forms == [COMPILED]
    assert_same(before, snapshot(engine))
    del stage.step[COMPILED]
    choice = keep_form(engine, work, COMPILED)
    assert choice.form == EAGER and choice.why == "compiled, as before, fails: KeyError: 'compiled'"
    assert stage.forms[-1] == EAGER and stage.forgotten == 1


def test_execute_as_compiles_training_alone(monkeypatch):
    """And copies, state dicts and files of the model know nothing of it."""
    model, compiled = coupling.Dropped(), []

    def backend(graph, inputs):
        compiled.append(torch.is_grad_enabled())
        return graph.forward

    keys = list(model.state_dict())
    internals.execute_as(model, {"backend": backend, "dynamic": False})
    model.eval()
    with torch.no_grad():
        model(IMAGES)
    assert not compiled
    model.train()(IMAGES)
    model(IMAGES)
    assert len(compiled) == 1
    assert list(model.state_dict()) == keys
    copied = copy.deepcopy(model)
    copied(torch.randn(3, table.D))
    assert len(compiled) == 1
    internals.execute_as(model, None)
    model(torch.randn(5, table.D))
    assert len(compiled) == 1
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: None)
    with pytest.raises(RuntimeError, match="keeps the compiled form of a module elsewhere"):
        internals.execute_as(model, {})


def lines_of(directory):
    return without_time(events(directory, "train") + events(directory, "evaluation"))


PARTS = {
    "accumulated": ("engine.micro_batch=4", "engine.precision=bf16", "model.dropout=0.2"),
    "frozen norms": ("model.freeze=backbone", "engine.micro_batch=8"),
    "recomputed": ("engine.activation_checkpointing=blocks", "engine.micro_batch=8"),
    "mixed": ("data.mix=splicemix", "engine.micro_batch=8"),
    "coupled": ("loss={name: epr, expected_positives: 1.5}", "engine.micro_batch=4"),
    "estimates": (
        "loss={name: role, expected_positives: 1.5}", "engine.micro_batch=4", "data.labels=single_positive",
        "data.val=null", "optim.schedule=constant",
    ),
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_run_that_stays_eager_is_the_run_without(config_file, colour_set, tmp_path, monkeypatch, part):
    """In every line of the journal and every file of its last checkpoint, by their digests."""
    found, stages = {}, []

    def build(*arguments):
        engine = real(*arguments)
        stages.append(Stage(engine.training_module.model, {EAGER: 100.0, COMPILED: 100.0, GRAPHS: 100.0}))
        set_up(monkeypatch, stages[-1])
        return engine

    real = sys.modules["mlcfast.training.run"].build_engine
    monkeypatch.setattr("mlcfast.training.run.build_engine", build)
    for compile in ("false", "auto"):
        root = tmp_path if part == "estimates" else colour_set
        if part == "estimates":
            write_colour_set(root, at_least=1, train=20)
        words = [f"name=run-{compile}", f"engine.compile={compile}", f"data.root={root}", "train.epochs=1"]
        words += ["model.freeze=none", *PARTS[part]]
        config = load_config(config_file, words)
        run(config, Process())
        directory = config.run_directory
        manifest = sorted((directory / "checkpoints").glob("*/manifest.json"))[-1].read_text()
        progress = sorted((directory / "checkpoints").glob("*/progress.json"))[-1].read_text()
        assert f'"form": "{EAGER if compile == "auto" else ""}"' in progress
        found[compile] = [lines_of(directory), [line for line in manifest.split("}") if "safetensors" in line]]
    assert found["false"] == found["auto"] and found["auto"][0] and found["auto"][1]
    (event,) = events(directory, "compile")
    assert event["form"] == EAGER and event["step"] == 0
    tried_forms = {"coupled": [], "estimates": []}.get(part, [EAGER, COMPILED])
    assert stages[1].forms[: len(tried_forms)] == tried_forms and not stages[0].forms
    assert (GRAPHS in event["timings"]) == (part in ("frozen norms", "mixed"))
    assert "engine.compile=auto: eager, " in (directory / "log.txt").read_text()


def test_a_resumed_run_keeps_the_form_and_says_so(config_file, monkeypatch):
    """Though the clock would have it otherwise now; a form that fails gives way to eager, with a warning."""
    costs, stages = [{EAGER: 100.0, COMPILED: 50.0}, {EAGER: 1.0, COMPILED: 9.0}, {EAGER: 1.0}], []

    def build(*arguments):
        engine = real(*arguments)
        stages.append(Stage(engine.training_module.model, costs[len(stages)]))
        set_up(monkeypatch, stages[-1])
        return engine

    real = sys.modules["mlcfast.training.run"].build_engine
    monkeypatch.setattr("mlcfast.training.run.build_engine", build)
    for epochs in (1, 2, 3):
        config = load_config(config_file, [f"train.epochs={epochs}", "engine.compile=auto"])
        run(config, Process(), config.run_directory if epochs > 1 else None)
    assert [stage.forms[-1] for stage in stages] == [COMPILED, COMPILED, EAGER] and stages[1].forms == [COMPILED]
    said = [(event["step"], event["form"], event["why"]) for event in events(config.run_directory, "compile")]
    assert said[0][:2] == (0, COMPILED) and said[1] == (5, COMPILED, "as before")
    assert said[2] == (10, EAGER, "compiled, as before, fails: KeyError: 'compiled'")


def test_a_signal_before_the_first_step_ends_the_run(config_file, monkeypatch):
    def build(*arguments):
        engine = real(*arguments)
        stage = Stage(engine.training_module.model, {EAGER: 100.0, COMPILED: 50.0})
        stage.compile = lambda model, options: options and signal.raise_signal(signal.SIGTERM)
        set_up(monkeypatch, stage)
        return engine

    real = sys.modules["mlcfast.training.run"].build_engine
    monkeypatch.setattr("mlcfast.training.run.build_engine", build)
    config = load_config(config_file, ["engine.compile=auto"])
    with pytest.raises(SystemExit) as ended:
        run(config, Process())
    assert ended.value.code == 128 + signal.SIGTERM and not events(config.run_directory, "train")
    assert "SIGTERM: no step is saved" in (config.run_directory / "log.txt").read_text()


def test_what_is_asked_for_during_the_trial_is_done_after_the_first_step(config_file, monkeypatch):
    """A checkpoint; and the images that were tried are given back before that step's last micro-batch."""
    tried_images, held = [], []

    def build(*arguments):
        engine = real(*arguments)
        stage = Stage(engine.training_module.model, {EAGER: 100.0, COMPILED: 100.0})
        stage.compile = lambda model, options: options and signal.raise_signal(signal.SIGUSR1)
        set_up(monkeypatch, stage)
        step = engine.step
        monkeypatch.setattr(engine, "step", lambda: held.append(tried_images[0]()) or step())
        return engine

    def settle(engine, work, *rest):
        tried_images.append(weakref.ref(work.images))
        return settle_form(engine, work, *rest)

    real = sys.modules["mlcfast.training.run"].build_engine
    monkeypatch.setattr("mlcfast.training.run.build_engine", build)
    monkeypatch.setattr("mlcfast.training.trainer.settle_form", settle)
    config = load_config(config_file, ["engine.compile=auto", "train.epochs=1", "engine.micro_batch=4"])
    run(config, Process())
    log = (config.run_directory / "log.txt").read_text()
    assert "SIGUSR1: step 1 is saved; going on" in log and "no step" not in log
    assert held[0] is None
    said = "engine.compile=auto: trying compiled; each takes a minute or two to compile"  # before it takes them
    assert log.index(said) < log.index("engine.compile=auto: eager, no other form")


def test_on_the_cpu_nothing_is_tried(config_file):
    config = load_config(config_file, ["engine.compile=auto", "train.epochs=1"])
    run(config, Process())
    (event,) = events(config.run_directory, "compile")
    assert (event["form"], event["timings"]) == (EAGER, {})
    assert (
        "auto: eager, compiling is for GPUs; on the CPU it takes minutes"
        in (config.run_directory / "log.txt").read_text()
    )


@pytest.mark.parametrize("engine", ["ddp", "zero2"])
def test_every_rank_decides_alike(tmp_path, engine):
    """By the slowest of them, and by the one that fails; a trial that ends in eager leaves no trace in training."""
    results = run_two(tmp_path, f"engine.name={engine}", "engine.micro_batch=4", module="tests.engine.compile_trial")
    for result in results:
        forms = {name: choice[0] for name, choice in result["choices"].items()}
        assert forms == {"slow": EAGER, "fails": EAGER, "fast": COMPILED}
        assert all(choice[2][:2] == [EAGER, COMPILED] for choice in result["choices"].values())
        assert_same(result["not tried"], result["slow"])
        assert_same(result["not tried"], result["fails"])
        assert result["compiled"] == {"not tried": False, "slow": False, "fails": False, "fast": True}
        torch.testing.assert_close(result["not tried"]["weights"], result["fast"]["weights"], rtol=1e-4, atol=2e-5)
    whys = [[choice[:2] for choice in result["choices"].values()] for result in results]
    assert whys[0] == whys[1]


def test_nothing_of_ours_switches_torchs_caches_off(tmp_path):
    """Compiled forms are kept on disk between runs, in the directory that TORCHINDUCTOR_CACHE_DIR names."""
    code = (
        "import mlcfast.train, mlcfast.engine.compiling, torch\n"
        "import torch._inductor.config as inductor, torch._functorch.config as functorch\n"
        "from torch._inductor.runtime.cache_dir_utils import cache_dir\n"
        "print(inductor.fx_graph_cache, functorch.enable_autograd_cache, inductor.force_disable_caches, cache_dir())"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TORCHINDUCTOR", "TORCH_COMPILE"))}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "kept")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"True True False {tmp_path / 'kept'}"
    place = "TORCHINDUCTOR|FX_GRAPH_CACHE|force_disable_caches"
    found = subprocess.run(["grep", "-rlE", place, "mlcfast", "launch.sh"], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == ""
