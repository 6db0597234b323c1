"""A fused recurrence on CPU cores: TensorFlow operations of compiled kernels, whose source lies in `source/`.

Every other engine needs Keras alone; this one imports TensorFlow, once it is asked on that backend.
"""

from seq_models.layers.engines.engine import Engine, Facts, Run
from seq_models.layers.tensors import Tensor, Tensors


class Fused(Engine):
    """A whole sequence in one operation, its gradient in another, on CPU cores under TensorFlow.

    A loop of single operations is bound by their dispatch. Here rows of a batch, which never meet in a recurrence, are
    taken through all steps by a thread, and the gates of a step are computed in registers right after the product with
    [W; U]: W x is no array. The gradients of x, W and U are products over all real tokens in the gradient's operation.
    """

    under_xla = False

    def why_not(self, facts: Facts) -> str | None:
        if facts.backend != "tensorflow":
            return f"the backend tensorflow. Received: {facts.backend}"
        from seq_models.layers.engines.fused import engine

        return engine.why_not(facts)

    def run(self, run: Run) -> tuple[Tensor, Tensor, Tensors]:
        from seq_models.layers.engines.fused import engine

        return engine.run_fused(run)
