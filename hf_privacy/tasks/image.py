"""Classification of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hf_privacy.tasks.classification import Classification
from hf_privacy.tasks.task import Prepared

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from hf_privacy.data import TensorDataset


class ImageClassification(Classification):
    """Pixels of an image, "pixel_values"; its mirror image shows the same."""

    name = "image-classification"
    augmentations = ("flip", "flip_crop")
    queries = ("identity", "flip")
    column = "image"
    processor = "image processor"
    input_space = "pixels"

    def load_processor(self, name_or_path: Any, *, revision: str | None = None) -> Any:
        """See `hf_privacy.models.load_image_processor`."""
        from hf_privacy.models import load_image_processor

        return load_image_processor(name_or_path, revision=revision)

    def augmentation(self, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """`hf_privacy.data.random_flip`, or a `hf_privacy.data.RandomFlipCrop`."""
        from hf_privacy.data import RandomFlipCrop, random_flip

        return {"flip": random_flip, "flip_crop": RandomFlipCrop()}[name]

    def encode(
        self, rows: Dataset, processor: Any, *, columns: Sequence[str], label_column: str, model: Any = None
    ) -> TensorDataset:
        """See `hf_privacy.data.encode_images`."""
        from hf_privacy.data import encode_images

        return encode_images(rows, processor, image_column=columns[0], label_column=label_column)

    def prepare(self, rows: Dataset, *, model: Any, data: Any, classes: Sequence[str]) -> Prepared:
        """Images come in the size that the recipe says, else of a model from scratch in their own, else in its."""
        from hf_privacy.data import image_processor_for, image_shape

        columns, size = data.input_columns, data.image_size
        if size is None and model.from_scratch:
            size = image_shape(rows, columns[0])[1:]
        build = self._model_init(model, classes)

        def model_init() -> Any:
            loaded = build()
            if size is not None and loaded.config.model_type == "timm_wrapper":
                # A timm checkpoint keeps its preprocessing in the model's configuration.
                image_processor_for(loaded, size=size)
            return loaded

        built = model_init()
        if model.from_scratch or built.config.model_type == "timm_wrapper":
            processor = image_processor_for(built, size=size)
        else:
            processor = self.load_processor(model.name_or_path, revision=model.revision)
            if size is not None:
                processor.size = {"height": size, "width": size}
                processor.do_center_crop = False
        dataset = self.encode(rows, processor, columns=columns, label_column=data.label_column)
        return Prepared(dataset, processor, model_init, built)
