"""The training helpers under the names that user code imports; the code lives in other modules."""
from deeplab.utils.gradients import get_model_gradient_multipliers
from deeplab.utils.initialization import get_model_init_fn
from deeplab.utils.learning_rates import get_model_learning_rate
from deeplab.utils.losses import add_softmax_cross_entropy_loss_for_each_scale

__all__ = [
    'add_softmax_cross_entropy_loss_for_each_scale',
    'get_model_gradient_multipliers',
    'get_model_init_fn',
    'get_model_learning_rate',
]
