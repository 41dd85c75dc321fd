"""The composition root: the only package that names concrete adapters."""

from rookery.app.node import Node, compiled, tune_interpreter

__all__ = ["Node", "compiled", "tune_interpreter"]
