"""The fixed-window neural language model: what embeddings bring before there is recurrence."""

import keras

from seq_models.baselines.window_network import WindowNetwork
from seq_models.tasks.language_model import LanguageModel


@keras.saving.register_keras_serializable(package="seq_models")
class WindowLanguageModel(LanguageModel):
    """`LanguageModel` whose network sees the last n-1 words; see `WindowNetwork`, whose options it has.

    Where the corpus is one text, the words before a segment of it are carried as recurrent states are.

    Example:
        >>> model = WindowLanguageModel.from_examples(["the cat sat", "the dog sat"], order=3, units=8, direct=True)
        >>> sorted(model.predict_text(["the cat sat"])[0])
        ['lengths', 'log_probability', 'perplexity']
    """

    task_name = "window"
    network_class = WindowNetwork
