"""What the model says of a few examples."""

from seq_models.training.watching.watcher import Watcher


class Samples(Watcher):
    """A table of the model's answers to some validation examples that stay, as the text `samples`.

    Args:
        log, share: See `Watcher`.
        examples: A list of examples, not empty.
    """

    def __init__(self, log, share, examples):
        super().__init__(log, share)
        self.examples = examples

    def look(self, step, epoch):
        self.log.table("samples", step, self.model.samples(self.examples))
