"""Types of things of Keras that have none of their own, for type hints."""

from collections.abc import Callable
from typing import Any

Tensor = Any  # of the backend, or what it makes one of
Tensors = list[Tensor]
Mask = Tensor | None  # booleans, True on real tokens; None: all are
Option = str | dict | Callable | None  # of an activation, an initializer, a regularizer or a constraint
