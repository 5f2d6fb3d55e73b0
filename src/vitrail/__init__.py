"""vitrail: Vision Transformer picture classifiers, trained, measured, exported and served."""

from importlib.metadata import version

__version__ = version("vitrail")
