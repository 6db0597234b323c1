"""Which folder may import which, and what no file may hold: read from the source, nothing is imported.

layers, networks, decoding need only `keras`, and of the package files that need no more. text stands alone; tasks
join all of these; exports know tasks; the commands and the demo, on top, know everything.
"""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "seq_models"
SMALL = {"errors", "files", "messages", "options"}
MAY_IMPORT = {
    "errors": set(),
    "options": set(),
    "messages": set(),
    "files": {"errors"},
    "private_api": set(),
    "fonts": {"messages"},
    "plots": {"errors", "fonts"},
    "layers": {"errors", "messages", "private_api"},
    "networks": {"errors", "options", "layers"},
    "decoding": {"layers", "networks"},
    "text": SMALL,
    "training": {*SMALL, "private_api", "fonts", "plots", "layers", "networks", "text"},
    "tasks": {*SMALL, "plots", "networks", "decoding", "text", "training"},
    "baselines": {*SMALL, "layers", "networks", "text", "training", "tasks"},
    "catalog": {"training", "tasks", "baselines"},
    "exports": {*SMALL, "private_api", "layers", "text", "tasks"},
    "server": {"errors", "private_api", "exports"},
    "demo": {"errors", "text", "training", "tasks", "exports"},
    "commands": {*SMALL, "fonts", "plots", "text", "training", "catalog", "tasks", "exports", "server", "demo"},
    "cli": {"errors", "messages", "commands"},
    "__init__": set(),
}
ONLY_KERAS = ("layers", "networks", "decoding")
FILES = sorted(PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))


def tree_of(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def folder_of(file):
    """The folder of a file of the package, or its own name where it lies at the top."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file):
    """Dotted names that a file imports, anywhere in it: "keras", "seq_models.networks", …"""
    names = set()
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            # `from seq_models import networks`: what is imported from the top is a folder or a public name.
            names |= {f"{start}.{alias.name}" for alias in node.names} if start == "seq_models" else {start}
    return names


def public_places():
    """The table of `seq_models/__init__.py`: public name -> module."""
    for node in tree_of(PACKAGE / "__init__.py").body:
        if isinstance(node, ast.Assign) and [target.id for target in node.targets] == ["_PLACES"]:
            return ast.literal_eval(node.value)
    raise LookupError("seq_models/__init__.py has no table _PLACES")


def folders_imported(file):
    """The folders of the package that a file imports."""
    names = imported(file) - {"seq_models.__version__"}
    inside = [name.split(".") for name in names if name.split(".")[0] == "seq_models"]
    return {public_places().get(parts[1], f"seq_models.{parts[1]}").split(".")[1] for parts in inside}


def test_the_package_has_files_and_every_folder_has_a_rule():
    assert len(FILES) > 20
    assert {folder_of(file) for file in FILES} == MAY_IMPORT.keys()


@every_file
def test_a_folder_imports_only_the_folders_below_it(file):
    folder = folder_of(file)
    assert folders_imported(file) <= MAY_IMPORT[folder] | {folder}


def test_no_two_folders_may_import_each_other():
    order = list(MAY_IMPORT)
    for place, folder in enumerate(order):
        assert MAY_IMPORT[folder] <= set(order[:place])


@every_file
def test_imports_are_absolute_and_visible(file):
    names = imported(file)
    assert not any(name.startswith(".") for name in names)
    assert "seq_models" not in names  # `import seq_models` would hide which folder is meant
    if file != PACKAGE / "__init__.py":
        assert not any(name.split(".")[0] == "importlib" for name in names - {"importlib.metadata"})
        assert not any(isinstance(node, ast.Name) and node.id == "__import__" for node in ast.walk(tree_of(file)))


@pytest.mark.parametrize("folder", ONLY_KERAS)
def test_layers_models_and_decoding_need_only_keras(folder):
    # The fused engine is of one backend, and imported once it is asked on it.
    files = [file for file in FILES if folder_of(file) == folder and file.parent.name != "fused"]
    names = {name for file in files for name in imported(file)}
    outside = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"seq_models"}
    assert outside <= {"keras", "numpy"}  # NumPy comes with Keras
    assert not any("tensorflow" in name for name in names)  # nor keras.src.backend.tensorflow
    assert MAY_IMPORT[folder] <= {*ONLY_KERAS, "errors", "messages", "options", "private_api"}


def test_the_package_itself_imports_nothing_until_a_name_is_used():
    assert imported(PACKAGE / "__init__.py") == {"importlib"}


def test_what_is_no_python_is_installed_too():
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    installed = {path for pattern in settings["package-data"]["seq_models"] for path in PACKAGE.glob(pattern)}
    others = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others and others == installed


def test_every_public_name_is_in_the_module_that_the_table_says():
    for name, module in public_places().items():
        path = PACKAGE.parent.joinpath(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        assert file.is_file(), module
        if module.split(".")[-1] == name:
            continue  # a folder
        defined = set()
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.ImportFrom):
                defined |= {alias.asname or alias.name for alias in node.names}
        assert name in defined, f"{module} has no {name}"


@every_file
def test_no_file_of_the_package_holds_an_assert(file):
    lines = [node.lineno for node in ast.walk(tree_of(file)) if isinstance(node, ast.Assert)]
    assert lines == [], f"{file}: python -O leaves an assert out; raise an error that says what was received"
