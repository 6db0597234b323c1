"""Which versions of a model lie on the disk, and which of them a policy asks for."""

from pathlib import Path

from seq_models.errors import InputError

LARGEST = 2**63 - 1


def versions_in(base):
    """The version directories of a model.

    Args:
        base: The directory of all its versions.
    Returns:
        {number: path}, the numbers rising; empty if `base` is not there.
    """
    try:
        children = sorted(Path(base).iterdir())
    except OSError:
        return {}
    numbers = {}
    for child in children:
        # A name that is no number is none to a server, such as that of an export still being written.
        if child.name.isascii() and child.name.isdecimal() and int(child.name) <= LARGEST and child.is_dir():
            numbers.setdefault(int(child.name), child)
    return dict(sorted(numbers.items()))


def asked_versions(config):
    """The versions that a server should have.

    Args:
        config: A `ModelConfig`; its policy is latest (one, if nothing is said), all or specific.
    Returns:
        {number: path}, the numbers rising.
    """
    found = versions_in(config.base_path)
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return found
    if kind == "specific":
        return {number: path for number, path in found.items() if number in policy.specific.versions}
    count = max(policy.latest.num_versions, 1)
    return dict(list(found.items())[-count:])


def models_in(base):
    """The models of a directory: those of its sub-directories that have versions.

    Args:
        base: The directory of all models.
    Returns:
        {name: path}, by name.
    Raises:
        InputError: If there are none.
    """
    if not Path(base).is_dir():
        raise InputError(f"--model_base must be a directory of models. Received: {base}, which is not there")
    found = {path.name: path for path in sorted(Path(base).iterdir()) if versions_in(path)}
    if not found:
        raise InputError(f"--model_base must be a directory with NAME/1 in it. Received: {base}, which has no model")
    return found


def fingerprint(path):
    """What changes when a directory's files do: their paths, sizes and times."""
    found = []
    for file in sorted(Path(path).rglob("*")):
        try:
            stat = file.stat()
        except OSError:  # gone meanwhile
            continue
        found.append((str(file), stat.st_size, stat.st_mtime_ns))
    return tuple(found)
