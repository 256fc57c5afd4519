"""All stages on a phantom archive, by the same calls that the jobs make."""
