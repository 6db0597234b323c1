"""Recurrent text models that read like the textbook, trained with Keras and served by TensorFlow Serving."""

import importlib

__version__ = "0.2.0"

# Imported when first used: `layers`, `networks` and `decoding` run where there is no TensorFlow.
_PLACES = {
    "decoding": "seq_models.decoding",
    "layers": "seq_models.layers",
    "networks": "seq_models.networks",
    "InputError": "seq_models.errors",
    "read_examples": "seq_models.text.examples",
    "LanguageModel": "seq_models.tasks",
    "SequenceLabeler": "seq_models.tasks",
    "SequenceClassifier": "seq_models.tasks",
    "MultiLabelClassifier": "seq_models.tasks",
    "EncoderDecoder": "seq_models.tasks",
    "NgramLanguageModel": "seq_models.baselines",
    "WindowLanguageModel": "seq_models.baselines",
    "load_run": "seq_models.catalog",
    "compare": "seq_models.tasks.comparison",
    "export": "seq_models.exports",
    "plot_gradient_flow": "seq_models.plots",
}
__all__ = list(_PLACES)


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module 'seq_models' has no attribute {name!r}")
    module = importlib.import_module(_PLACES[name])
    return module if _PLACES[name].endswith(f".{name}") else getattr(module, name)


def __dir__():
    return sorted(__all__)
