"""`hf-privacy train`."""

from __future__ import annotations

from pathlib import Path

from hf_privacy.cli.arguments import Options


def run(options: Options) -> int:
    """Train the recipe's model, or say that it is trained already; a killed run resumes, if it keeps checkpoints."""
    train(options)
    return 0


def train(options: Options) -> None:
    """Train the recipe's model into its ``output_dir`` unless it is there."""
    recipe = options.recipe()
    from hf_privacy.auditing import repeats_across, train_target, worth_words
    from hf_privacy.cli.plain_progress import show_progress
    from hf_privacy.recipe import RunFolder, prepare

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
        if experiment.dataset.truncated:
            longest = experiment.dataset.column("attention_mask").shape[1]
            print(f"{experiment.dataset.truncated:,} rows are longer than {longest:,} tokens and were cut")
        exact, near = repeats_across(experiment.repeats)
        print(
            f"repeats of members among the non-members: {exact} exact"
            + (f", {near} near-exact" if near is not None else "")
        )
    record = train_target(experiment, trainer, folder)
    if main:
        print(f"trained in {record['training_seconds']:.1f} s; {worth_words(record)}; saved to {folder.path}")
