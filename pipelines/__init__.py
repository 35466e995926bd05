"""What users import and run: the pipelines and the commands."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.mesh_to_image import HandControlNetPipeline
    from pipelines.text_to_image import TextToHandImagePipeline
    from pipelines.text_to_mesh import TextToHandMeshPipeline

_HOMES = {
    "HandControlNetPipeline": "pipelines.mesh_to_image",
    "TextToHandImagePipeline": "pipelines.text_to_image",
    "TextToHandMeshPipeline": "pipelines.text_to_mesh",
}
__all__ = ["HandControlNetPipeline", "TextToHandImagePipeline", "TextToHandMeshPipeline"]


def __getattr__(name: str) -> Any:
    """The pipelines are imported when they are asked for, so that small commands start at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
