r"""A local web page: drop a picture, see its overlay, classes, their shares and the latency.

    python deeplab/demo.py --checkpoint_dir=runs/a/train
    python deeplab/demo.py --frozen_graph=runs/a/frozen.pb --dataset=data/my_data/dataset.json
    python deeplab/demo.py --model_zoo_row=mobilenetv2_coco_voc_trainaug

Needs the extra `demo` (Flask): scripts/setup.sh --extras=demo. The page is at
http://localhost:7860/ and answers on this machine only, unless --host says otherwise. It loads
nothing from a network, and pictures are kept nowhere.
"""
import contextlib
import sys

from absl import flags
from absl import logging

from deeplab import cli
from deeplab import errors
from deeplab import model_zoo
from deeplab import model_zoo_files
from deeplab import predictor_flags
from deeplab.evaluation import segmenter

FLAGS = flags.FLAGS
_LOCAL = 'localhost'


def define_flags():
    """Defines the flags of this command."""
    predictor_flags.define_flags()
    flags.DEFINE_string('model_zoo_row', None, 'Row of the model zoo: its frozen graph, downloaded '
                        'where it is not here.')
    flags.DEFINE_string('models_dir', 'models', 'Folder of the downloaded models.')
    flags.DEFINE_string('host', _LOCAL, 'Name or address to listen on; 0.0.0.0 lets other machines '
                        'in.')
    flags.DEFINE_integer('port', 7860, 'Port to listen on; 0 takes a free one.', lower_bound=0)
    flags.DEFINE_float('max_upload_mb', 16, 'Largest file taken, in megabytes.', lower_bound=0.001)
    flags.DEFINE_float('max_megapixels', 40, 'Largest picture taken, in millions of pixels.',
                       lower_bound=0.0001)
    flags.DEFINE_integer('max_side', 513, 'Pictures with a longer side are shrunk to it before '
                         'they are predicted; 0 predicts them as they are.', lower_bound=0)
    flags.DEFINE_integer('max_waiting', 8, 'Refuse pictures when so many wait.', lower_bound=1)


def _app_module():
    """Returns `demo_app`, whose Flask is an extra.

    Raises:
      UserError: it is not installed.
    """
    try:
        from deeplab import demo_app
    except ImportError as error:
        raise errors.UserError('The demo needs Flask ({}): scripts/setup.sh --extras=demo, or '
                               'pip install flask.'.format(error))
    return demo_app


def _use_zoo_row():
    """Makes the source flags those of --model_zoo_row."""
    row = model_zoo.find_row(FLAGS.model_zoo_row)
    if not row['frozen_graph']:
        raise errors.UserError('--model_zoo_row={}: a backbone to train from; it segments '
                               'nothing.'.format(row['name']))
    FLAGS.frozen_graph = model_zoo_files.obtain(row, FLAGS.models_dir).frozen_graph
    FLAGS.dataset = FLAGS.dataset or row['dataset']
    FLAGS.model_zoo_row = None
    if not FLAGS.frozen_graph:
        raise errors.UserError('{}: holds no frozen graph.'.format(
            model_zoo_files.folder_of(row, FLAGS.models_dir)))


@contextlib.contextmanager
def opened_server():
    """Gives the server that the parsed flags describe, listening already.

    Raises:
      UserError: the model cannot be loaded, Flask is missing, the port is taken.
    """
    app_module = _app_module()
    source = predictor_flags.check_sources(also=['model_zoo_row'])
    title = getattr(FLAGS, source)
    if FLAGS.model_zoo_row:
        _use_zoo_row()
    with predictor_flags.opened() as (predictor, look):
        segmenting = segmenter.Segmenter(predictor, max_side=FLAGS.max_side,
                                         max_waiting=FLAGS.max_waiting, **look)
        segmenting.warm_up()
        if not look['class_names']:
            logging.info('Classes are shown by number: --dataset, a name or a description, names '
                         'them.')
        app = app_module.make_app(
            segmenting, title, int(FLAGS.max_upload_mb * 1e6), int(FLAGS.max_megapixels * 1e6),
            local_only=FLAGS.host in app_module.LOCAL_HOSTS)
        host = '127.0.0.1' if FLAGS.host == _LOCAL else FLAGS.host
        server = app_module.make_server(app, host, FLAGS.port)
        try:
            yield server
        finally:
            server.server_close()


def main(_):
    logging.set_verbosity(logging.INFO)
    with opened_server() as server:
        print('Listening on http://{}:{}/ (Ctrl+C ends it)'.format(
            FLAGS.host, server.socket.getsockname()[1]))
        sys.stdout.flush()
        server.serve_forever()


def entry():
    """Runs the command (console script deeplab-demo)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
