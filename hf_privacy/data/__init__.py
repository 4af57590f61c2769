"""Data: whose rows are members, how rows are named, and how they become tensors.

Names are imported when first used, so that drawing a split does not import torch.
"""

from hf_privacy.exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "augment": ("RandomFlipCrop", "horizontal_flip", "random_flip"),
        "canaries": ("make_canaries",),
        "classes": ("class_names", "number_classes"),
        "columns": ("check_columns", "check_labels", "image_shape", "refuse_without_rows", "require_rows"),
        "digits": ("load_digits_dataset",),
        "example_generators": ("example_seed",),
        "fingerprint": ("content_hashes", "dataset_fingerprint", "example_ids"),
        "forget": ("ForgetRequest", "ForgetSplit", "make_forget_split"),
        "groups": ("group_numbers", "whole_groups"),
        "image_processors": ("image_processor_for",),
        "label_noise": ("noisy_labels", "with_label_noise"),
        "language": ("encode_language", "language_columns"),
        "loading": ("load_dataset_from",),
        "members": ("redraw_members",),
        "processing": ("encode_features", "encode_images", "encode_text"),
        "repeats": ("RepeatReport", "drop_repeats", "find_repeats"),
        "rewritten": ("behind", "lowered", "shot_prefix"),
        "splits": ("MembershipSplit", "make_split"),
        "streams": ("read_stream",),
        "tensors": ("TensorDataset", "collate_batch", "tensors_digest"),
        "worded_canaries": ("WordedCanaries", "make_worded_canaries"),
    },
)
