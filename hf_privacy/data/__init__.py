"""Data: whose rows are members, how rows are named, and how they become tensors.

Names are imported when first used, so that drawing a split does not import torch.
"""

from hf_privacy.exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ForgetRequest": "hf_privacy.data.forget:ForgetRequest",
        "ForgetSplit": "hf_privacy.data.forget:ForgetSplit",
        "MembershipSplit": "hf_privacy.data.splits:MembershipSplit",
        "RandomFlipCrop": "hf_privacy.data.augment:RandomFlipCrop",
        "RepeatReport": "hf_privacy.data.repeats:RepeatReport",
        "TensorDataset": "hf_privacy.data.tensors:TensorDataset",
        "check_columns": "hf_privacy.data.columns:check_columns",
        "check_labels": "hf_privacy.data.columns:check_labels",
        "class_names": "hf_privacy.data.classes:class_names",
        "collate_batch": "hf_privacy.data.tensors:collate_batch",
        "content_hashes": "hf_privacy.data.fingerprint:content_hashes",
        "dataset_fingerprint": "hf_privacy.data.fingerprint:dataset_fingerprint",
        "drop_repeats": "hf_privacy.data.repeats:drop_repeats",
        "encode_features": "hf_privacy.data.processing:encode_features",
        "encode_images": "hf_privacy.data.processing:encode_images",
        "encode_text": "hf_privacy.data.processing:encode_text",
        "example_ids": "hf_privacy.data.fingerprint:example_ids",
        "example_seed": "hf_privacy.data.example_generators:example_seed",
        "find_repeats": "hf_privacy.data.repeats:find_repeats",
        "horizontal_flip": "hf_privacy.data.augment:horizontal_flip",
        "image_processor_for": "hf_privacy.data.image_processors:image_processor_for",
        "image_shape": "hf_privacy.data.columns:image_shape",
        "load_dataset_from": "hf_privacy.data.loading:load_dataset_from",
        "load_digits_dataset": "hf_privacy.data.digits:load_digits_dataset",
        "make_canaries": "hf_privacy.data.canaries:make_canaries",
        "make_forget_split": "hf_privacy.data.forget:make_forget_split",
        "make_split": "hf_privacy.data.splits:make_split",
        "noisy_labels": "hf_privacy.data.label_noise:noisy_labels",
        "number_classes": "hf_privacy.data.classes:number_classes",
        "random_flip": "hf_privacy.data.augment:random_flip",
        "redraw_members": "hf_privacy.data.members:redraw_members",
        "refuse_without_rows": "hf_privacy.data.columns:refuse_without_rows",
        "require_rows": "hf_privacy.data.columns:require_rows",
        "with_label_noise": "hf_privacy.data.label_noise:with_label_noise",
    },
)
