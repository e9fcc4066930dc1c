"""Where the recordings of the Free Spoken Digit Dataset are: given, nearby, or downloaded (27 MB, CC BY-SA 4.0)."""

import os
import shutil
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/heads/master.zip"
NEARBY = Path(__file__).resolve().parents[2].parent / "shared" / "fsdd"
TIMEOUT_S = 60


def find_recordings(given, downloads, nearby=NEARBY):
    """Returns the folder of wavs: in `given` if set, else in `nearby` if there, else downloaded below `downloads`."""
    if given:
        return recordings_in(given)
    if (nearby / "recordings").is_dir():
        return recordings_in(nearby)
    target = Path(downloads, "fsdd")
    if not (target / "recordings").is_dir():
        download(URL, target)
    return recordings_in(target)


def recordings_in(directory):
    for folder in (Path(directory, "recordings"), Path(directory)):
        if any(folder.glob("*.wav")):
            return folder
    raise ValueError(f"no wavs in {directory}/recordings: set FSDD to a copy of free-spoken-digit-dataset")


def download(url, target):
    """Unpacks the archive's recordings into target/recordings: beside it first, then renamed."""
    print(f"downloading {url} to {target}", file=sys.stderr)
    Path(target).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        archive, unpacked = Path(scratch, "archive.zip"), Path(scratch, "recordings")
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, open(archive, "wb") as file:
                shutil.copyfileobj(response, file)
            unpack_wavs(archive, unpacked)
        except (OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"could not download {url} ({error}): get a copy and set FSDD=<its folder>") from error
        os.replace(unpacked, Path(target, "recordings"))


def unpack_wavs(archive, folder):
    folder.mkdir()
    with zipfile.ZipFile(archive) as contents:
        for name in contents.namelist():
            if "/recordings/" in name and name.endswith(".wav"):
                (folder / Path(name).name).write_bytes(contents.read(name))
