"""mlcfast: multi-label image classification, made fast and made to fit."""

__version__ = "0.1.0"
