"""Readers of captioned pictures, sounds and films: COCO, AudioCaps and MSR-VTT.

The same items serve both ways: a core is shown the medium and its caption is scored, or it
is told one of the captions and the medium that it makes is (``Item.question`` is the first
caption).
"""

from __future__ import annotations

from collections.abc import Iterator

from heliograph.model.errors import DataError, InputError
from heliograph.model.evaluation.standard.items import Item, Place
from heliograph.model.evaluation.standard.reading import entry, find, objects, table

COCO = "https://cocodataset.org/#download"
KARPATHY = "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"
AUDIOCAPS = "https://github.com/cdjkim/audiocaps"
MSRVTT = "https://www.microsoft.com/en-us/research/publication/msr-vtt-a-large-video-description-dataset-for-bridging-video-and-language/"

_SOUNDS = (".wav", ".flac", ".mp3", ".ogg")
_FILMS = (".mp4", ".webm")


def coco(place: Place) -> Iterator[Item]:
    """COCO captions (Chen et al. 2015, arXiv 1504.00325).

    ``dataset_coco.json`` is Karpathy's split (Karpathy & Fei-Fei 2015), whose 5000 ``test``
    pictures papers report on; ``captions_val2014.json`` and the like are COCO's own files.

    Raises:
        DataError: the file is missing or damaged.
        InputError: it has no such split.
    """
    split = place.split
    if split is None:
        patterns = ["dataset_coco.json", "captions_val*.json"]
    elif split in ("test", "restval"):
        patterns = ["dataset_coco.json"]
    else:
        patterns = [f"captions_{split}*.json", "dataset_coco.json"]
    path = find(place.data, patterns, f"{COCO} ({KARPATHY} for dataset_coco.json)")
    if path.name.startswith("captions_"):
        names = {
            int(entry(image, "id", path)): str(entry(image, "file_name", path))
            for image in objects(path, "images.item")
        }
        captions: dict[int, list[str]] = {}
        for row in objects(path, "annotations.item"):
            of = captions.setdefault(int(entry(row, "image_id", path)), [])
            of.append(str(entry(row, "caption", path)).strip())
        folder = path.stem.removeprefix("captions_")
        for number, said in captions.items():
            name = names.get(number)
            if name is None:
                raise DataError(f"{path} has a caption of a picture that it lacks: {number}.")
            yield Item(str(number), said[0], (name, f"{folder}/{name}"), tuple(said))
        return
    wanted, any_yet = split or "test", False
    for image in objects(path, "images.item"):
        if entry(image, "split", path) != wanted:
            continue
        any_yet = True
        name = str(entry(image, "filename", path))
        said = [str(entry(s, "raw", path)).strip() for s in entry(image, "sentences", path)]
        key = str(entry(image, "cocoid", path))
        yield Item(key, said[0], (f"{image.get('filepath', '.')}/{name}", name), tuple(said))
    if not any_yet:
        raise InputError(f"{path} has no pictures of the split {wanted!r}.")


def audiocaps(place: Place) -> Iterator[Item]:
    """AudioCaps (Kim et al. 2019): one clip for each YouTube id and start, with its captions.

    The sounds are not published with the captions; one is looked for under its YouTube id
    (alone, after a ``Y``, or before its start), then under its caption's id.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = find(place.data, [f"{place.split or 'test'}.csv"], f"{AUDIOCAPS} (folder dataset)")
    clips: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for row in table(path, ("audiocap_id", "youtube_id", "start_time", "caption")):
        ids, said = clips.setdefault((row["youtube_id"], row["start_time"]), ([], []))
        ids.append(row["audiocap_id"])
        said.append(row["caption"].strip())
    for (youtube, start), (ids, said) in clips.items():
        stems = [youtube, f"Y{youtube}", f"{youtube}_{start}", *ids]
        names = tuple(stem + suffix for stem in stems for suffix in _SOUNDS)
        yield Item(f"{youtube}_{start}", said[0], names, tuple(said))


def msrvtt(place: Place) -> Iterator[Item]:
    """MSR-VTT (Xu et al. 2016): 2990 films of the ``test`` split with 20 captions each.

    Raises:
        DataError: the file is missing or damaged.
        InputError: it has no such split.
    """
    split = place.split or "test"
    own = "test_videodatainfo.json" if split == "test" else "train_val_videodatainfo.json"
    path = find(place.data, [own, "MSRVTT_data.json", "*videodatainfo.json"], MSRVTT)
    captions: dict[str, list[str]] = {
        str(entry(video, "video_id", path)): []
        for video in objects(path, "videos.item")
        if entry(video, "split", path) == split
    }
    if not captions:
        raise InputError(f"{path} has no films of the split {split!r}.")
    for row in objects(path, "sentences.item"):
        of = captions.get(str(entry(row, "video_id", path)))
        if of is not None:
            of.append(str(entry(row, "caption", path)).strip())
    for video, said in captions.items():
        if not said:
            raise DataError(f"{path} has no caption of {video}.")
        folders = ("", "TestVideo/", "TrainValVideo/", "videos/all/")
        names = tuple(f"{folder}{video}{suffix}" for folder in folders for suffix in _FILMS)
        yield Item(video, said[0], names, tuple(said))
