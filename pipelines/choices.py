"""The choices that commands offer, in a module that costs nothing to import."""

from typing import Literal

Control = Literal["mesh", "pose", "mesh+pose"]
"""What guides the painting: the shaded mesh, the 2D pose, or both."""

Format = Literal["parquet", "webdataset", "imagefolder"]
"""How the shards of a data set are written."""
