"""`handloom assets list|fetch|import-mano`: the third-party files that are here or missing, and their licences."""

import logging

from rich.console import Console

from recon import assets
from recon.assets import ASSETS, AssetError
from recon.hand import mano_file

logger = logging.getLogger(__name__)


def list_assets() -> None:
    """List the third-party files: state, purpose, licence, and the way to those that are missing."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Third-party files in {assets.assets_folder()}:")
    for name, asset in ASSETS.items():
        try:
            assets.asset_path(name)
            state, colour = "here", "green"
        except AssetError as error:
            state, colour = ("altered", "red") if "altered" in str(error) else ("missing", "yellow")
        console.print(f"\n[bold]{name}[/] [{colour}]{state}[/]: {asset.purpose}")
        console.print(f"  {asset.licence}; {asset.source}")
        if state != "here":
            console.print(f"  {asset.how}")


def fetch(names: list[str]) -> None:
    """Bring third-party files here; those that are here and whole are left alone.

    Args:
        names: which ones, as `handloom assets list` names them.
    """
    for name in names:
        logger.info("%s is in %s", name, assets.fetch(name))


def import_mano(files: list[str]) -> None:
    """Convert MANO_RIGHT.pkl or MANO_LEFT.pkl to an npz without code inside, among the third-party files.

    Args:
        files: the pickles, as downloaded from https://mano.is.tue.mpg.de.
    """
    for file in files:
        logger.info("%s is in %s", file, mano_file.import_mano(file, assets.assets_folder()))
