"""Classification networks and clone deployment."""
from deeplab import compat  # noqa: F401  (prepares TensorFlow before anything else is imported)
