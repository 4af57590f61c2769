"""`hf-privacy train`."""

from __future__ import annotations

import time
from pathlib import Path

from hf_privacy.cli.arguments import Options


def run(options: Options) -> int:
    """Train the recipe's model, or say that it is trained already; a killed run resumes from its last checkpoint."""
    train(options)
    return 0


def train(options: Options) -> None:
    """Train the recipe's model into its ``output_dir`` unless it is there."""
    recipe = options.recipe()
    from hf_privacy.auditing import repeats_across
    from hf_privacy.cli.plain_progress import show_progress
    from hf_privacy.hub import weights_sha256
    from hf_privacy.recipe import RunFolder, prepare
    from hf_privacy.references import last_whole_checkpoint

    folder = RunFolder(Path(recipe.output_dir))
    if folder.is_trained:
        folder.start(recipe)  # refuses another recipe's folder
        print(f"{folder.path} holds this recipe's trained model already")
        return
    experiment = prepare(recipe)
    trainer = experiment.trainer()
    show_progress(trainer)
    main = trainer.is_world_process_zero()
    if main:
        folder.start(recipe)
        split = experiment.split
        print(
            f"training on {len(split.members):,} members; {len(split.non_members):,} non-members and "
            f"{len(split.population):,} of the population held out"
        )
        exact, near = repeats_across(experiment.repeats)
        print(
            f"repeats of members among the non-members: {exact} exact"
            + (f", {near} near-exact" if near is not None else "")
        )
    trainer.accelerator.wait_for_everyone()
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(folder.path))
    seconds = time.perf_counter() - started
    accuracy = {
        name: _accuracy(trainer, dataset)
        for name, dataset in (
            ("member_accuracy", experiment.dataset.subset(experiment.split.members)),
            ("nonmember_accuracy", experiment.dataset.subset(experiment.split.non_members)),
        )
    }
    trainer.save_model(_internal_call=True)
    if not main:
        return
    trainer.create_model_card()
    record = {
        "training_seconds": seconds,
        "split_hash": experiment.split.hash,
        "weights_sha256": weights_sha256(folder.path),
        "world_size": trainer.args.world_size,
        **accuracy,
    }
    folder.finish(experiment.split, record)
    print(
        f"trained in {seconds:.1f} s; accuracy {accuracy['member_accuracy']:.1%} on members, "
        f"{accuracy['nonmember_accuracy']:.1%} on non-members; saved to {folder.path}"
    )


def _accuracy(trainer, dataset) -> float:
    from hf_privacy.signals import compute_signals

    model = trainer.accelerator.unwrap_model(trainer.model)
    return float(compute_signals(model, dataset, accelerator=trainer.accelerator)["correct"].mean())
