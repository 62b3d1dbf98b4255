"""Packages that only some export formats need."""
import importlib

from deeplab import errors


def load(name: str):
    """Imports a package of the extra `export`.

    Raises:
        UserError: it is not installed, or it cannot be imported beside this TensorFlow.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise errors.UserError(
            '--export_formats=onnx needs the package {} ({}). Install it with: pip install '
            '.[export]'.format(name, error))
