"""Exports for TensorFlow Serving."""

from seq_models.serving.export import export

__all__ = ["export"]
