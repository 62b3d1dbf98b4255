"""DeepLab: semantic image segmentation in TensorFlow graph mode, on TensorFlow 1.15 and 2.x."""
from deeplab import compat  # noqa: F401  (prepares TensorFlow before anything else is imported)

__version__ = '1.0.0'
