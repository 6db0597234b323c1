"""What recurrent models are held against: models of the same tasks with the same verbs, without recurrence."""

from seq_models.baselines.ngram_language_model import NgramLanguageModel

BASELINES = {NgramLanguageModel.task_name: NgramLanguageModel}

__all__ = ["BASELINES", "NgramLanguageModel"]
