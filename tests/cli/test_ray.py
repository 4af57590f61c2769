"""Reference models as tasks of a Ray cluster of two machines, both of them this one, of which one is lost."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest

from hf_privacy.errors import InputError
from hf_privacy.recipe import AuditSettings, EngineSettings, Recipe

QUICK = {"training": {"num_train_epochs": 2}, "audit": {"references": 6, "class_slices": False}}
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


def facts(folder: Path) -> dict:
    """A report without what depends on the clock."""
    report = json.loads((folder / "privacy_report.json").read_text())
    return {name: part for name, part in report.items() if name not in ("cost", "created")}


@pytest.fixture(scope="module")
def local(tmp_path_factory, write_recipe):
    """A recipe, and the folder of its run, audited by the local engine."""
    from hf_privacy.cli import main

    folder = tmp_path_factory.mktemp("local")
    recipe = write_recipe(folder, **QUICK)
    assert main(["train", "--config", recipe]) == 0
    assert main(["audit", "--config", recipe]) == 0
    return recipe, folder / "run"


def trained_again(local: Path, tmp_path: Path) -> Path:
    """The same trained model, not audited."""
    shutil.copytree(local, tmp_path / "run", ignore=shutil.ignore_patterns("references*", "privacy_report*"))
    return tmp_path / "run"


@pytest.mark.slow
def test_a_cluster_that_loses_a_machine_makes_the_report_of_one_machine(cli, local, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    recipe, run = local[0], trained_again(local[1], tmp_path)
    # The worker processes must find this package, and no more threads than the local engine had.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    try:
        cluster = Cluster(initialize_head=True, head_node_args=SMALL)
    except Exception as error:  # of no kind of its own: no shared memory, or a machine too busy to start in time
        pytest.skip(f"a Ray cluster does not start here ({type(error).__name__})")
    done_at_loss = []
    ended = threading.Event()
    try:
        node = cluster.add_node(**{name: SMALL[name] for name in ("num_cpus", "object_store_memory")})

        def lose_a_machine() -> None:
            references = run / "private" / "references"
            while not ended.is_set() and not list(references.glob("reference_*.safetensors")):
                time.sleep(0.01)
            done_at_loss.append(len(list(references.glob("reference_*.safetensors"))))
            cluster.remove_node(node, allow_graceful=False)

        loss = threading.Thread(target=lose_a_machine)
        loss.start()
        engine = ("--engine", "ray", "--engine.address", cluster.address, "--engine.gpus=0")
        code, _, said = cli("audit", "--config", recipe, f"--output_dir={run}", *engine)
        ended.set()
        loss.join()
        assert (code, [line for line in said.splitlines() if line.startswith("hf-privacy")]) == (0, [])
        assert 0 < done_at_loss[0] < 6
        assert facts(run) == facts(local[1])
    finally:
        ended.set()
        cluster.shutdown()


def test_without_ray_the_engine_is_refused_before_anything_else(cli, local, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, said = cli("audit", "--config", local[0], "--engine", "ray")
    assert code == 2
    assert said == (
        "hf-privacy: --engine is 'ray' and Ray is not installed: pip install 'hf-privacy[ray]', or use "
        "engine 'local'\n"
    )


def test_a_task_makes_what_the_local_engine_makes(local, tmp_path):
    """What runs on a machine of the cluster, run here."""
    import numpy as np

    from hf_privacy.references import WrittenPlan
    from hf_privacy.references.ray_engine import _bring_home, _opened, train_some
    from hf_privacy.references.written_plan import opened_run
    from hf_privacy.signals import SignalStore

    recipe = Recipe.load(local[0]).override({"audit.keep_weights": "true"})
    here = opened_run(recipe, tmp_path)
    plan = WrittenPlan.of(recipe, here.store.metadata)
    for _ in range(2):  # the second time as after an answer that was lost
        (answer,) = train_some(plan.text(), [3], str(tmp_path / "no such folder"))
    _opened.cache_clear()
    _bring_home(here, 3, answer)
    assert here.keeps_weights(3)
    assert here.kept_model(3) is not None
    theirs = SignalStore.open(local[1] / "private" / "references")
    np.testing.assert_array_equal(here.store.read("phi", models=[3]), theirs.read("phi", models=[3]))
    _bring_home(here, 3, answer)  # a reference that comes twice does no harm
    with pytest.raises(InputError, match="reference 2 came from a machine with other data, recipe or versions"):
        _bring_home(here, 2, answer)
    assert not (here.store.folder / "fetched").exists()


def test_a_comparison_hands_its_references_to_the_engine(cli, write_recipe, tmp_path, monkeypatch):
    import yaml

    from hf_privacy.comparison import run

    given = []

    class Engine:
        def __init__(self, recipe):
            given.append(recipe.audit.engine)

        def __call__(self, references, **how):
            references.train(**how)

    monkeypatch.setattr(run, "RayEngine", Engine)
    write_recipe(tmp_path, training={"num_train_epochs": 1}, audit={"references": 2, "class_slices": False})
    comparison = {
        "recipe": "recipe.yaml",
        "defenses": {"none": {}},
        "seeds": [0, 1],
        "output_dir": str(tmp_path / "c"),
    }
    (tmp_path / "comparison.yaml").write_text(yaml.safe_dump(comparison))
    given_engine = ("--engine", "ray", "--engine.gpus", "0.25")
    assert cli("compare", "--config", str(tmp_path / "comparison.yaml"), *given_engine)[0] == 0
    assert given == [EngineSettings(name="ray", gpus=0.25)]
    # Where references are trained changes no figure: nothing is done again without Ray.
    monkeypatch.setattr(run, "RayEngine", None)
    assert cli("compare", "--config", str(tmp_path / "comparison.yaml"))[0] == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "dask"}, "engine.name is 'dask': pass 'local' or 'ray'"),
        ({"nam": "ray"}, "unknown key 'nam'"),
        ({"name": "ray", "gpus": 1.5}, "engine.gpus is 1.5: pass a share of one GPU"),
        ({"name": "ray", "gpus": -1}, "engine.gpus is -1"),
        ({"name": "ray", "cpus": "two"}, "engine.cpus is 'two'"),
        ({"name": "ray", "retries": -1}, "engine.retries is -1"),
        ({"name": "ray", "address": 7}, "engine.address is 7"),
    ],
)
def test_settings_no_engine_runs_with_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        AuditSettings(engine=settings).check()


def test_from_python_an_engine_is_passed(local):
    from hf_privacy.auditing import audit
    from hf_privacy.recipe import prepare

    experiment = prepare(Recipe.load(local[0]), with_repeats=False)
    with pytest.raises(InputError, match=r"engine.name is 'ray': from Python pass reference_engine"):
        audit(
            local[1],
            experiment.dataset,
            experiment.split,
            output_dir=local[1].parent / "other",
            trainer=experiment.trainer(output_dir=local[1].parent / "other"),
            engine="ray",
        )
