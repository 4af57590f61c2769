"""Which arguments of a training shape the weights it ends with, and which only say where and how it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_privacy.gate_fields import GATE_FIELDS

# Where it writes, what it prints, evaluates and pushes, and what it runs on. Everything not named here is part of the
# recipe: of the references' hash, and of what must be equal for a folder to be that of a run.
_NOT_SHAPING = frozenset(GATE_FIELDS) | frozenset(
    """
    output_dir overwrite_output_dir logging_dir logging_strategy logging_steps logging_first_step
    logging_nan_inf_filter log_level log_level_replica log_on_each_node log_history report_to run_name project
    trackio_space_id trackio_bucket_id trackio_static_space_id disable_tqdm do_train do_eval
    do_predict eval_strategy eval_steps eval_delay eval_on_start eval_do_concat_batches eval_accumulation_steps
    per_device_eval_batch_size prediction_loss_only include_for_metrics metric_for_best_model greater_is_better
    save_strategy save_steps save_total_limit save_only_model save_on_each_node enable_jit_checkpoint
    resume_from_checkpoint restore_callback_states_from_checkpoint push_to_hub hub_model_id hub_strategy
    hub_token hub_private_repo hub_always_push hub_revision hub_create_pr
    dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor
    dataloader_in_order dataloader_multiprocessing_context skip_memory_metrics include_num_input_tokens_seen
    use_cpu local_rank ddp_backend ddp_timeout accelerator_config torch_empty_cache_steps
    label_names remove_unused_columns eval_attack batch_eval_metrics eval_use_gather_object
    """.split()  # noqa: SIM905 - a list of quoted words hides them
)
_SEEDS = frozenset({"seed", "data_seed"})


def shaping_arguments(arguments: Mapping[str, Any], *, seeds: bool = True) -> dict[str, Any]:
    """Those of a training's arguments that shape its weights.

    Parameters
    ----------
    arguments : mapping
        Names and values, such as a recipe's ``training``.
    seeds : bool
        With the seeds; reference models differ in them by design.

    Examples
    --------
    >>> shaping_arguments({"learning_rate": 0.1, "use_cpu": True, "report_to": "none", "seed": 3})
    {'learning_rate': 0.1, 'seed': 3}
    """
    left_out = _NOT_SHAPING if seeds else _NOT_SHAPING | _SEEDS
    return {name: value for name, value in arguments.items() if name not in left_out}
