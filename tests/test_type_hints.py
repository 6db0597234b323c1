"""Every public function says what it takes and gives: read from the source, nothing is imported."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "seq_models"
FILES = sorted(PACKAGE.rglob("*.py"))
# Methods of Keras that its classes override with Keras's own signature.
OF_KERAS = {
    "build", "call", "compile_from_config", "compute_mask", "compute_output_shape", "compute_output_spec", "evaluate",
    "fit", "from_config", "get_compile_config", "get_config", "get_initial_state", "get_metrics_result", "inner_loop",
    "metrics", "predict", "reset_state", "result", "summary", "test_step", "train_step", "update_state",
}  # fmt: skip
OF_CALLBACKS = {
    f"on_{part}_{end}" for part in ("train", "epoch", "test", "train_batch", "test_batch") for end in ("begin", "end")
}


def public_functions(body):
    """The public functions at the top of a module, and the public methods of its public classes."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            yield node


def lacks_hints(function):
    """Whether a parameter other than self or cls, or what is returned, has no annotation."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    taken = [argument for argument in named if argument is not None and argument.arg not in ("self", "cls")]
    returned = function.returns is not None or function.name == "__init__"
    return not returned or any(argument.annotation is None for argument in taken)


def without_hints(source):
    """Line and name of each public function that lacks hints."""
    functions = public_functions(ast.parse(source).body)
    return [(f.lineno, f.name) for f in functions if f.name not in OF_KERAS | OF_CALLBACKS and lacks_hints(f)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_every_public_function_has_type_hints(file):
    assert without_hints(file.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source, name",
    [
        ("def f(x) -> int: ...", "f"),
        ("def f(x: int): ...", "f"),
        ("def f(*xs) -> int: ...", "f"),
        ("async def f(*, x=1) -> int: ...", "f"),
        ("class A:\n def __init__(self, x): ...", "__init__"),
        ("class A:\n @property\n def x(self): ...", "x"),
    ],
)
def test_a_missing_hint_is_found(source, name):
    assert [found for _, found in without_hints(source)] == [name]


def test_what_is_private_or_of_keras_needs_no_hint():
    assert without_hints("def _f(x): ...\nclass _A:\n def f(self, x): ...\nclass B:\n def call(self, x): ...") == []
