"""Reference models: plan them, train them with the target's own recipe, keep their signals.

Names are imported when first used: a plan and what is done of it are read without torch.
"""

from hf_privacy.exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "audited": ("audit_references",),
        "clone": ("recipe_hash", "reference_trainer", "require_cloneable"),
        "collect": ("ReferenceRun", "reference_run"),
        "plan": ("ReferencePlan", "plan_references"),
        "ray_engine": ("RayEngine",),
        "retrained": ("retrained_evaluations", "retrained_run", "retrained_seconds", "save_retrained_figures"),
        "share": ("collect_shared", "run_ranks"),
        "shared_store": ("SharedStatus", "SharedStore"),
        "train": ("train_references",),
        "unlearned": ("UnlearnedPhi", "unlearned_references"),
        "workers": ("worker_processes",),
        "written_plan": ("WrittenPlan", "plan_of_recipe"),
    },
)
