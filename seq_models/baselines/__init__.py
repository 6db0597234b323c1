"""What recurrent models are held against: models of the same tasks with the same verbs, without recurrence."""

from seq_models.baselines.ngram_language_model import NgramLanguageModel
from seq_models.baselines.window_language_model import WindowLanguageModel

BASELINES = {baseline.task_name: baseline for baseline in (NgramLanguageModel, WindowLanguageModel)}

__all__ = ["BASELINES", "NgramLanguageModel", "WindowLanguageModel"]
