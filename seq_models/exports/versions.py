"""The versions of a model: directories whose names are numbers, each of them whole from the moment it is there."""

import os
from pathlib import Path

from seq_models.errors import InputError
from seq_models.files import flush

MANIFESTS = "manifests"
INT64 = 2**63 - 1  # what TensorFlow Serving reads
LARGEST = INT64 - 1  # one more must be left, for the version after it


def is_number(name: str) -> bool:
    """True for the name of a version: digits of ASCII, within 64 bits."""
    return name.isascii() and name.isdecimal() and int(name) <= INT64


def versions_in(base: str | Path) -> dict[int, Path]:
    """The versions of a model.

    Args:
        base: The directory of all its versions.
    Returns:
        {number: path}, the numbers rising. A name that is no number is none, such as that of an export still being
        written.
    Raises:
        InputError: If the directory cannot be listed: that it has no versions is not known then.
    """
    numbers: dict[int, Path] = {}
    for child in directories_in(base):
        if is_number(child.name):
            numbers.setdefault(int(child.name), child)
    return dict(sorted(numbers.items()))


def directories_in(base: str | Path) -> list[Path]:
    """The directories in a directory, by name.

    Raises:
        InputError: If it cannot be listed.
    """
    try:
        return [child for child in sorted(Path(base).iterdir()) if child.is_dir()]
    except OSError as error:
        raise InputError(f"{base} must be a directory that can be listed. Received: {error.strerror}") from error


def check_new(base: str | Path, version: int | None = None) -> None:
    """Refuses a place or a number where no version can be made.

    Raises:
        InputError: If `base` is a file or cannot be listed, or `version` is no positive integer, above 2^63-2 or there
            already.
    """
    base = Path(base)
    if base.exists() and not base.is_dir():
        raise InputError(f"{base} must be a directory for versions of a model. Received: a file")
    if version is None:
        return
    if not isinstance(version, int) or version < 1:
        raise InputError(f"version must be a positive integer. Received: version={version!r}")
    _check_bound(version)
    if base.exists() and (version in versions_in(base) or (base / str(version)).exists()):
        raise InputError(f"A version must be new, {base / str(version)} is there. Received: version={version}")


def publish(aside: Path, base: Path, manifest: str, version: int | None = None) -> Path:
    """Makes a directory a version, by one rename, once all of it is on the disk; returns the path of the version.

    The number is taken by the manifest, a file that one export alone can make; so two exports never share one.

    Args:
        aside: The directory, on the file system of `base`.
        base: The directory of all versions.
        manifest: The text of the manifest.
        version: A number that is new; by default the one above the highest.
    Raises:
        InputError: See `check_new`.
    """
    number = version or _next(base)
    while not _taken(base, number, manifest):
        check_new(base, version)
        if version:
            raise InputError(f"A version must be new, its manifest is there. Received: version={version}")
        number = _next(base)
    try:
        for path in aside.rglob("*"):
            flush(path)
        os.rename(aside, base / str(number))
    except OSError:  # the number is free again
        (base / MANIFESTS / f"{number}.json").unlink()
        raise
    flush(base)
    return base / str(number)


def _next(base):
    names = [path.name for path in base.iterdir()] + [path.stem for path in (base / MANIFESTS).glob("*.json")]
    number = max((int(name) for name in names if is_number(name)), default=0) + 1
    _check_bound(number)
    return number


def _check_bound(version):
    if version > LARGEST:
        raise InputError(f"A version must be at most 2^63-2, {LARGEST}. Received: version={version}")


def _taken(base, number, manifest):
    """Whether the number could be had; the manifest is there then."""
    path = base / MANIFESTS / f"{number}.json"
    path.parent.mkdir(exist_ok=True)
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(manifest)
        flush(path)
    except OSError:
        path.unlink()
        raise
    if (base / str(number)).exists():
        path.unlink()
        return False
    return True
