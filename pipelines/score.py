"""`handloom score`: a folder of hand pictures against a reference: KID-H, FID-H, detection, PCK, sharpness (DESIGN 9).

`score_images` does the same for pictures at hand, as a generation run has them.
"""

import logging
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from tqdm import tqdm

from pipelines.extractors import ExtractorName, FeatureExtractor, load_extractor
from pipelines.generation_scores import GenerationScores, compare
from pipelines.hand_pictures import HandPicture, find_pictures, read_pictures
from pipelines.image_set import ImageSet, load_image_set, save_image_set
from pipelines.set_meter import measure
from recon.detection import HandDetector
from recon.files import FileError, write_atomic, write_json_atomic

logger = logging.getLogger(__name__)

SHIPPED_REFERENCE = "world_test.npz"
"""Beside HandCLIP's weights: its features of the rendered world's test pictures."""


def shipped_reference() -> ImageSet:
    """The rendered world's test pictures as HandCLIP sees them, as shipped.

    Raises:
        FileError: it is not there.
    """
    return load_image_set(Path(str(files("synth.handclip") / "weights" / SHIPPED_REFERENCE)))


def score_images(
    pictures: Iterable[HandPicture],
    name: str,
    reference: ImageSet | None = None,
    extractor: FeatureExtractor | None = None,
    detector: HandDetector | None = None,
    batch_size: int = 32,
) -> GenerationScores:
    """Score pictures as they come, in memory that does not grow with their number.

    Args:
        pictures: images with box, projected joints and mask as far as they are known.
        name: what the set is called in the report.
        reference: what to compare with; the shipped one by default.
        extractor: makes the features; `handclip` by default.
        detector: looks for hands; a new one with the usual threshold by default.
        batch_size: crops that go through the extractor at once.

    Raises:
        ReferenceMismatchError: the reference was measured with another extractor.
        FileError: the shipped reference is asked for and not there.
    """
    extractor = extractor or load_extractor("handclip")
    reference = reference or shipped_reference()
    return compare(measure(pictures, extractor, detector or HandDetector(), name, batch_size), reference)


def _reference(source: Path | None, extractor: FeatureExtractor, detector: HandDetector, batch_size: int) -> ImageSet:
    """A saved reference, or one measured from a folder."""
    if source is None:
        if extractor.name != "handclip":
            raise FileError(f"The shipped reference is for handclip, not {extractor.name}; give --reference.")
        return shipped_reference()
    if source.is_dir():
        return _measure_folder(source, extractor, detector, batch_size)
    return load_image_set(source)


def _measure_folder(folder: Path, extractor: FeatureExtractor, detector: HandDetector, batch_size: int) -> ImageSet:
    """Measure a folder under a progress bar."""
    found, name = find_pictures(folder), folder.resolve().name

    def shown() -> Iterator[HandPicture]:
        with tqdm(total=found.count, desc=f"scoring {name}", unit="image", disable=None) as bar:
            for picture in read_pictures(found):
                yield picture
                bar.update()

    return measure(shown(), extractor, detector, name, batch_size)


def score(
    folder: Path,
    reference: Path | None = None,
    extractor: ExtractorName = "handclip",
    extractor_file: Path | None = None,
    out: Path | None = None,
    save_stats: Path | None = None,
    min_confidence: float = 0.5,
    batch_size: int = 32,
) -> None:
    """Score a folder of hand pictures against a reference.

    Writes a JSON file and a Markdown report beside it: KID-H with its interval, FID-H, detection rate and scores,
    agreement of found and projected joints (PCK), sharpness on the hand, for both sets side by side.

    Args:
        folder: a run folder, a folder of parquet files, or a folder of images.
        reference: a folder to compare with, or statistics written by --save-stats; the shipped ones by default.
        extractor: what makes the features: handclip (ships) or inception (your download).
        extractor_file: Inception's TorchScript file when it is not among the assets, or a folder with another HandCLIP.
        out: JSON file to write; FOLDER/scores.json by default. The report has the same name and ends in .md.
        save_stats: also write the folder's statistics there, as a reference for later; without --reference nothing
            else is done.
        min_confidence: threshold of the hand detector, 0 to 1.
        batch_size: crops that go through the extractor at once.
    """
    features, detector = load_extractor(extractor, extractor_file), HandDetector(min_confidence)
    known = None
    if reference is not None or save_stats is None:  # a mistake in it should show before the long part
        known = _reference(reference, features, detector, batch_size)
    images = _measure_folder(folder, features, detector, batch_size)
    if save_stats is not None:
        save_image_set(save_stats, images)
        logger.info("Statistics of %d pictures -> %s", images.figures.n, save_stats)
    if known is None:
        return
    scores = compare(images, known)
    out = out or folder / "scores.json"
    write_json_atomic(out, scores.as_dict())
    write_atomic(out.with_suffix(".md"), scores.markdown().encode())
    logger.info("%s", scores.markdown())
