"""The embeddings, for TensorBoard's projector."""

import numpy as np
from tensorboard.plugins import projector

from seq_models.files import write_whole, written_whole
from seq_models.training.watching.watcher import Watcher

ROWS = 5_000  # of a vocabulary, the most frequent tokens first


class Projector(Watcher):
    """Keeps the embedding of each vocabulary for the projector: vectors in `NAME.tsv`, tokens in `NAME_tokens.tsv`."""

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        config = projector.ProjectorConfig()
        for name, (tokens, _) in self.model.embeddings().items():
            config.embeddings.add(tensor_name=name, tensor_path=f"{name}.tsv", metadata_path=f"{name}_tokens.tsv")
            write_whole(self.log.logs / f"{name}_tokens.tsv", "".join(f"{_line(token)}\n" for token in tokens[:ROWS]))
        projector.visualize_embeddings(str(self.log.logs), config)

    def look(self, step: int, epoch: int) -> None:
        for name, (_, vectors) in self.model.embeddings().items():
            with written_whole(self.log.logs / f"{name}.tsv") as aside:
                np.savetxt(aside, vectors[:ROWS], fmt="%.4g", delimiter="\t", encoding="utf-8")


def _line(token):
    """A token as one line that is not empty."""
    return token if token.isprintable() and token.strip() else repr(token)
