"""Classes that stand in for one of Keras: which it is, and arguments by place in its order."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras


def places_of(keras_class: type) -> Callable[[type], type]:
    """A decorator of classes: their constructor takes arguments by place in the order of `keras_class`.

    The class itself gets all of them by name, and its signature is that of `keras_class`; arguments of its own follow
    by name. The order of Keras is of no system (of a GRU the regularizer of the output comes between those of the
    weights and the constraints), so that it is read from there.

    Args:
        keras_class: Whose place is taken.
    Raises:
        TypeError: In the call of the constructor, if an argument comes twice, or there are too many by place.
    """
    signature = inspect.signature(keras_class)

    def decorate(cls: type) -> type:
        construct = cls.__init__  # type: ignore[misc]

        @functools.wraps(construct)
        def __init__(self, *arguments: Any, **options: Any):
            named = signature.bind(*arguments, **options).arguments
            construct(self, **{**named.pop("kwargs", {}), **named})

        cls.stands_for = keras_class  # type: ignore[attr-defined]
        __init__.__signature__ = inspect.signature(keras_class.__init__)  # type: ignore[attr-defined, misc]
        cls.__init__ = __init__  # type: ignore[misc]
        return cls

    return decorate


def stands_for(layer: keras.layers.Layer) -> type | None:
    """The class of Keras that a layer stands in for; None of a class that derives from ours and may do otherwise."""
    return vars(type(layer)).get("stands_for")
