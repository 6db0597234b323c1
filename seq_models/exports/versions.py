"""The versions of a model: directories whose names are numbers, each of them whole from the moment it is there."""

import os
from pathlib import Path

from seq_models.errors import InputError
from seq_models.files import flush

MANIFESTS = "manifests"


def versions_of(base, version=None):
    """The versions in a directory, a sorted list of integers.

    Args:
        base: The directory; it need not exist.
        version: One that is to be made.
    Raises:
        InputError: If `base` is a file, or `version` is no positive integer or there already.
    """
    base = Path(base)
    if base.exists() and not base.is_dir():
        raise InputError(f"{base} must be a directory for versions of a model. Received: a file")
    if version is not None and (not isinstance(version, int) or version < 1):
        raise InputError(f"version must be a positive integer. Received: version={version!r}")
    names = [path.name for path in base.iterdir()] if base.is_dir() else []
    found = sorted(int(name) for name in names if name.isascii() and name.isdecimal())
    if version in found:
        raise InputError(f"A version must be new, {base / str(version)} is there. Received: version={version}")
    return found


def publish(aside, base, manifest, version=None):
    """Makes a directory a version, by one rename, once all of it is on the disk.

    The number is taken by the manifest, a file that one export alone can make; so two exports never share one.

    Args:
        aside: The directory, on the file system of `base`.
        base: The directory of all versions.
        manifest: The text of the manifest.
        version: See `versions_of`.
    Returns:
        The path of the version.
    Raises:
        InputError: See `versions_of`.
    """
    number = version or _next(base)
    while not _taken(base, number, manifest):
        versions_of(base, version)
        if version:
            raise InputError(f"A version must be new, its manifest is there. Received: version={version}")
        number = _next(base)
    for path in aside.rglob("*"):
        flush(path)
    os.rename(aside, base / str(number))
    flush(base)
    return base / str(number)


def _next(base):
    manifests = [int(path.stem) for path in (base / MANIFESTS).glob("*.json") if path.stem.isdecimal()]
    return max([*versions_of(base), *manifests], default=0) + 1


def _taken(base, number, manifest):
    """Whether the number could be had; the manifest is there then."""
    path = base / MANIFESTS / f"{number}.json"
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(manifest)
    except FileExistsError:
        return False
    flush(path)
    if (base / str(number)).exists():
        path.unlink()
        return False
    return True
