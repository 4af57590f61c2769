"""The privacy report: its JSON file, the plots, the page, the table and the model card, all from one dictionary.

Names are imported when first used: what keeps a secret out of a report needs no matplotlib.
"""

from hf_privacy.exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "card": ("render_card", "write_card"),
        "card_data": ("CardData", "card_data_of_folder"),
        "dpia": ("dpia_markdown",),
        "explain": ("what_it_does_not_mean", "what_it_means"),
        "leaks": ("public_name", "refuse_leaks"),
        "page": ("render_page",),
        "privacy_report": ("PrivacyReport",),
        "publish": ("plan_push", "push_folder"),
        "sections.attack_plots": ("roc_figure", "scores_figure"),
        "sections.attack_table": ("attack_table",),
        "sections.curves": ("curve_of",),
        "sections.unlearning": ("unlearning_lines",),
        "style": ("png_bytes",),
    },
)
