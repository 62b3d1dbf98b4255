"""The web application of `deeplab-demo`: one page, and pictures sent to it. Needs Flask."""
import base64
import re
import socket

from absl import logging
import flask
import werkzeug.exceptions
import werkzeug.serving

from deeplab import demo_page
from deeplab import errors
from deeplab.evaluation import segmenter as segmenters
from deeplab.utils import image_files

_FIELD = 'picture'
LOCAL_HOSTS = ('localhost', '127.0.0.1', '::1')
# Bytes of a form around the picture in it; with a long name they are a few hundred.
_FORM_BYTES = 1 << 14
# The page brings everything along; whatever is in a picture's name, nothing else is loaded.
_HEADERS = {
    'Content-Security-Policy': "default-src 'none'; img-src data:; connect-src 'self'; "
                               "style-src 'unsafe-inline'; script-src 'unsafe-inline'",
    'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-store'}


def _data_uri(array, image_format):
    options = {'quality': 90} if image_format == 'JPEG' else {'compress_level': 3}
    data = image_files.encode_image(array, image_format, **options)
    return 'data:image/{};base64,{}'.format(
        image_format.lower(), base64.b64encode(data).decode('ascii'))


def describe(result, sent_shape) -> dict:
    """Returns what the page shows of a `segmenter.Segmentation`, as plain values.

    Args:
      result: of the picture.
      sent_shape: (height, width, ...) of the picture as it was sent, before it was shrunk.
    """
    height, width = result.labels.shape
    return {
        'sent_height': sent_shape[0], 'sent_width': sent_shape[1],
        'height': height, 'width': width, 'milliseconds': round(1000 * result.seconds, 1),
        # As it was predicted: not every format that is taken is one that browsers show.
        'picture': _data_uri(result.image, 'JPEG'),
        'overlay': _data_uri(result.overlay(), 'JPEG'),
        'labels': _data_uri(result.label_colors(), 'PNG'),
        'classes': [{'label': each.label, 'name': each.name, 'share': round(each.share, 6),
                     'color': '#%02x%02x%02x' % each.color} for each in result.classes]}


def _host_name(host):
    """Returns the name in a Host header, without its port."""
    return re.sub(r':\d+$', '', host).strip('[]')


def make_app(segmenter, title: str, max_upload_bytes: int, max_pixels: int,
             local_only=True) -> flask.Flask:
    """Returns the application: GET / is the page, POST /segment takes a picture.

    The picture is the form's file `picture`; the answer is JSON: `describe`, or {'error': text}
    with status 400 (no picture, not readable), 413 (too large), 503 (too many wait).

    Args:
      segmenter: a `segmenter.Segmenter`.
      title: of the model, shown on the page.
      max_upload_bytes: most bytes of a picture's file.
      max_pixels: most pixels of a picture.
      local_only: answer only where addressed as this machine, so that no page of another site
        can reach in by a name of its own.
    """
    app = flask.Flask('deeplab-demo', static_folder=None)
    app.config['MAX_CONTENT_LENGTH'] = max_upload_bytes + _FORM_BYTES

    @app.before_request
    def check_host():
        if local_only and _host_name(flask.request.host) not in LOCAL_HOSTS:
            flask.abort(403, 'This demo answers on this machine only.')

    @app.after_request
    def add_headers(response):
        response.headers.update(_HEADERS)
        return response

    @app.errorhandler(werkzeug.exceptions.HTTPException)
    def say_what_is_wrong(error):
        return flask.jsonify(error=error.description), error.code

    @app.route('/')
    def page():
        return demo_page.render(title, max_upload_bytes, max_pixels)

    @app.route('/segment', methods=['POST'])
    def segment():
        too_large = 'The file is larger than the {:.3g} MB allowed here.'.format(
            max_upload_bytes / 1e6)
        try:
            sent = flask.request.files.get(_FIELD)
        except werkzeug.exceptions.RequestEntityTooLarge:
            flask.abort(413, too_large)
        if sent is None:
            flask.abort(400, 'No picture was sent: it goes into the form field "{}".'.format(
                _FIELD))
        name = sent.filename or 'picture'
        content = sent.read()
        if len(content) > max_upload_bytes:
            flask.abort(413, too_large)
        try:
            image = segmenters.decode_limited(content, max_pixels, name)
            result = segmenter.segment(image)
        except segmenters.Busy as error:
            flask.abort(503, str(error))
        except segmenters.TooManyPixels as error:
            flask.abort(413, str(error))
        except errors.UserError as error:
            flask.abort(400, str(error))
        logging.info('%r: %d x %d, %.0f ms', name, image.shape[1], image.shape[0],
                     1000 * result.seconds)
        return flask.jsonify(describe(result, image.shape))

    return app


def make_server(app, host: str, port: int) -> werkzeug.serving.BaseWSGIServer:
    """Returns a server that listens, a thread each request; `serve_forever` runs it.

    Args:
      app: of `make_app`.
      host, port: where; port 0 takes a free one (its `socket` tells which).

    Raises:
      UserError: it cannot listen there.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(64)
    except (OSError, OverflowError) as error:
        listening.close()
        raise errors.UserError('--host={} --port={}: cannot listen there ({}). --port=0 takes a '
                               'free port.'.format(host, port, getattr(error, 'strerror', None)
                                                   or error))
    with listening:
        return werkzeug.serving.make_server(
            host, listening.getsockname()[1], app, threaded=True, request_handler=_Quiet,
            fd=listening.fileno())


class _Quiet(werkzeug.serving.WSGIRequestHandler):
    """Leaves out the line for each request: the application says what it did."""

    timeout = 60  # Seconds a client may take to send; otherwise it would hold a thread for ever.

    def log_request(self, *_, **__):
        """Says nothing."""
