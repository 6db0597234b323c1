"""Exports for TensorFlow Serving."""

from seq_models.exports.export import export

__all__ = ["export"]
