"""Every shipped model from nothing: render, HandCLIP, VQ-MANO, text-to-mesh, autoencoder, base with ControlNet.

Each stage goes on where it stopped and is skipped when it is done, so the same command can be given again after any
stop. On a GPU the same recipes train longer by flags; `configs/` says how.

    python -m pipelines.weights
"""

import logging
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jsonargparse

log = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURES = {"train": 14_000, "validation": 500, "test": 1_000}
SIZE = 128


@dataclass(frozen=True)
class Stage:
    """One command, and where what it makes is shipped.

    Attributes:
        name: of the model or data set.
        arguments: of `handloom`.
        product: folder that is complete when the stage is done; "" to ask the command itself.
        ships_as: folder of the package that the product is copied to; "" for none.
    """

    name: str
    arguments: tuple[str, ...]
    product: str = ""
    ships_as: str = ""


def training(name: str, config: str, ships_as: str) -> Stage:
    """The stage that trains a model into `build/NAME/final`."""
    return Stage(name, ("train", "--config", config), f"build/{name}/final", ships_as)


STAGES = (
    *(
        Stage(
            f"pictures of {split}",
            ("render", "--num-images", str(n), "--size", str(SIZE), "--split", split, "--out", f"build/world/{split}"),
        )
        for split, n in PICTURES.items()
    ),
    training("vq_mano", "configs/recon/vq_mano.yaml", "recon/mmhmr/weights"),
    training("handclip", "configs/synth/handclip.yaml", ""),
    training("handclip_spread", "configs/synth/handclip_spread.yaml", "synth/handclip/weights"),
    training("text_to_mesh", "configs/synth/text_to_mesh.yaml", ""),
    training("text_to_mesh_further", "configs/synth/text_to_mesh_further.yaml", "synth/text_to_mesh/weights"),
    training("autoencoder", "configs/synth/autoencoder.yaml", ""),
    training("controlnet", "configs/synth/controlnet.yaml", "synth/controlnet/weights"),
    training("decoder", "configs/synth/decoder.yaml", "synth/controlnet/weights/base/vae"),
)


def weights(*, ship: bool = False, only: str | None = None) -> int:
    """Run the stages in order.

    Args:
        ship: copy what was trained over the weights in the package.
        only: the name of one stage.

    Raises:
        ValueError: there is no such stage.
        SystemExit: a stage failed; its own message stands above.
    """
    stages = [stage for stage in STAGES if only in (None, stage.name)]
    if not stages:
        raise ValueError(f"There is no stage {only!r}; the stages are {', '.join(stage.name for stage in STAGES)}.")
    for stage in stages:
        if stage.product and (REPOSITORY / stage.product).is_dir():
            log.info("%s: done before.", stage.name)
        else:
            log.info("%s: handloom %s", stage.name, " ".join(stage.arguments))
            command = [sys.executable, "-m", "pipelines.cli", *stage.arguments]
            done = subprocess.run(command, cwd=REPOSITORY, check=False)
            if done.returncode:
                raise SystemExit(done.returncode)
        if ship and stage.ships_as:
            export(REPOSITORY / stage.product, REPOSITORY / stage.ships_as)
    return 0


def export(product: Path, target: Path) -> None:
    """Copy a trained model over the shipped one; cards (README.md) that the product does not bring stay."""
    for file in sorted(path for path in product.rglob("*") if path.is_file()):
        destination = target / file.relative_to(product)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, destination)
    log.info("%s ships as %s.", product, target)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    jsonargparse.CLI(weights, as_positional=False)
