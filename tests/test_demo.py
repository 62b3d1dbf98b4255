"""The web page: a server on this machine, pictures sent to it, and a browser where there is one."""
import base64
import concurrent.futures
import contextlib
import io
import json
import threading
import time
import urllib.error
import urllib.request
import uuid
import zlib

import numpy as np
from PIL import Image
import pytest

from deeplab import cli
from deeplab import demo
from deeplab import errors
from deeplab.evaluation import segmenter
from tests import browser
from tests import color_graph
from tests import tiny_run

pytest.importorskip('flask', reason='the extra demo (Flask) is not installed')


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    return color_graph.write(tmp_path_factory.mktemp('graph') / 'colors.pb')


@contextlib.contextmanager
def running(graph, *arguments):
    """Gives the address of a server opened by the command's own flags."""
    servers = []
    with contextlib.ExitStack() as stack:
        class Command:  # All of the command but waiting for Ctrl+C.
            __file__ = demo.__file__
            define_flags = staticmethod(demo.define_flags)

            @staticmethod
            def main(_):
                servers.append(stack.enter_context(demo.opened_server()))

        assert tiny_run.command(Command, '--frozen_graph=' + graph, '--port=0', *arguments) == 0
        thread = threading.Thread(target=servers[0].serve_forever, args=(0.02,))
        thread.start()
        try:
            yield 'http://{}:{}'.format(*servers[0].socket.getsockname()[:2])
        finally:
            servers[0].shutdown()
            thread.join()


@pytest.fixture(scope='module')
def address(graph):
    with running(graph, '--max_upload_mb=0.1', '--max_megapixels=0.01', '--max_side=80') as found:
        yield found


def request(url, data=None, headers=None):
    """Returns (status, headers, body) of an answer."""
    asked = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with contextlib.closing(urllib.request.urlopen(asked, timeout=30)) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def send(address, content, name='scene.png', field='picture'):
    """Sends a file as a form does; returns (status, the answer's JSON)."""
    mark = uuid.uuid4().hex
    head = ('--{}\r\nContent-Disposition: form-data; name="{}"; filename="{}"\r\n\r\n'
            .format(mark, field, name))
    body = head.encode() + content + '\r\n--{}--\r\n'.format(mark).encode()
    status, _, answer = request(address + '/segment', body, {
        'Content-Type': 'multipart/form-data; boundary=' + mark})
    return status, json.loads(answer.decode())


def encoded(image, image_format='PNG', **options):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, image_format, **options)
    return stream.getvalue()


def decoded(uri):
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(',', 1)[1]))).convert('RGB'))


def test_the_page_brings_everything_along(address):
    status, headers, body = request(address + '/')
    page = body.decode()
    assert status == 200
    assert 'colors.pb' in page
    assert "default-src 'none'" in headers['Content-Security-Policy']
    assert 'http://' not in page and 'https://' not in page


def test_a_picture_comes_back_as_overlay_shares_and_latency(address):
    image = color_graph.picture()
    status, answer = send(address, encoded(image))
    assert status == 200
    labels = color_graph.expected_labels(image)
    shares = {each['label']: each['share'] for each in answer['classes']}
    assert shares == {int(label): pytest.approx(np.mean(labels == label), abs=1e-6)
                      for label in np.unique(labels)}
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert (answer['height'], answer['width']) == (40, 60)
    assert answer['milliseconds'] >= 0
    colors = {each['label']: tuple(int(each['color'][at:at + 2], 16) for at in (1, 3, 5))
              for each in answer['classes']}
    shown = decoded(answer['labels'])
    for label, color in colors.items():
        assert (shown[labels == label] == color).all()
    assert decoded(answer['overlay']).shape == image.shape


def test_large_pictures_are_shrunk_before(address):
    status, answer = send(address, encoded(color_graph.picture(60, 120), 'JPEG'), 'a.jpg')
    assert status == 200
    assert (answer['height'], answer['width']) == (40, 80)
    assert (answer['sent_height'], answer['sent_width']) == (60, 120)
    assert decoded(answer['picture']).shape == (40, 80, 3)


def test_the_limit_is_of_the_file_not_of_the_form_around_it(address):
    whole = encoded(color_graph.picture())
    # What follows the last chunk of a PNG is nobody's.
    assert send(address, whole + bytes(100000 - len(whole)))[0] == 200
    assert send(address, whole + bytes(100001 - len(whole)))[0] == 413


@pytest.mark.parametrize('content, status, part', [
    (b'not a picture', 400, 'x.png: not a picture that can be read'),
    (b'', 400, 'not a picture'),
    (encoded(color_graph.picture())[:100], 400, 'x.png: not a readable picture'),
    (encoded(np.zeros((101, 100, 3), np.uint8)), 413, '100 x 101 pixels are more than the 10,000'),
    (b'x' * 200000, 413, 'larger than the 0.1 MB allowed')],
    ids=['words', 'nothing', 'cut short', 'pixels', 'bytes'])
def test_what_cannot_be_used_is_answered_with_a_message(address, content, status, part):
    got, answer = send(address, content, 'x.png')
    assert got == status
    assert part in answer['error'] and '\n' not in answer['error']


def test_a_picture_of_many_pixels_is_refused_before_it_is_decoded(address):
    # 400 million pixels in 50 kB.
    huge = encoded(np.zeros((2, 2), np.uint8))
    huge = huge[:16] + (20000).to_bytes(4, 'big') * 2 + huge[24:]
    huge = huge[:29] + zlib.crc32(huge[12:29]).to_bytes(4, 'big') + huge[33:]
    status, answer = send(address, huge)
    assert status == 413
    assert '20000 x 20000 pixels' in answer['error']


def test_other_requests(address):
    assert send(address, b'x', field='other')[0] == 400
    for path, method_data in (('/absent', None), ('/segment', None), ('/', b'x=1')):
        status, _, body = request(address + path, method_data)
        assert status in (404, 405) and 'error' in json.loads(body.decode())


def test_it_answers_this_machine_only(address):
    assert address.startswith('http://127.0.0.1:')
    status, _, _ = request(address + '/', headers={'Host': 'evil.example:80'})
    assert status == 403


def test_many_at_a_time(address):
    pictures = [np.roll(color_graph.picture(), shift, 1) for shift in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda image: send(address, encoded(image)), pictures))
    assert [status for status, _ in answers] == [200] * 6
    for image, (_, answer) in zip(pictures, answers):
        palette = segmenter.get_dataset_colormap.full_palette()
        assert (decoded(answer['labels']) == palette[color_graph.expected_labels(image)]).all()


def test_too_many_waiting_are_sent_away():
    class Slow:
        running, most = 0, 0

        def predict(self, image):
            self.running += 1
            self.most = max(self.most, self.running)
            time.sleep(0.2)
            self.running -= 1
            return np.zeros(image.shape[:2], np.int64), None

    slow = Slow()
    segmenting = segmenter.Segmenter(slow, max_waiting=1)
    image = np.zeros((4, 4, 3), np.uint8)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = [pool.submit(segmenting.segment, image) for _ in range(4)]
    refused = [each for each in done if isinstance(each.exception(), segmenter.Busy)]
    assert len(refused) == 2
    assert slow.most == 1
    segmenting.segment(image)


def test_class_names_come_from_the_data_set(graph, tmp_path):
    folder = tiny_run.write_records(tmp_path / 'data', class_names=list(color_graph.CLASS_NAMES))
    with running(graph, '--dataset={}/dataset.json'.format(folder)) as found:
        _, answer = send(found, encoded(color_graph.picture()))
    assert [each['name'] for each in answer['classes']] == ['dark', 'blue', 'red']
    assert answer['classes'][1]['color'] == '#%02x%02x%02x' % tuple(tiny_run.COLORS[3])


def test_mistakes_are_one_line(graph, address, capsys):
    port = address.rsplit(':', 1)[1]
    for arguments, part in (
            ([], 'Give one of --checkpoint_dir, --frozen_graph, --saved_model, --model_zoo_row'),
            (['--frozen_graph=absent.pb'], 'absent.pb'),
            (['--model_zoo_row=xception_65_imagenet'], 'segments nothing'),
            (['--frozen_graph=' + graph, '--port=' + port], 'cannot listen there'),
            (['--frozen_graph=' + graph, '--port=70000'], 'cannot listen there')):
        assert tiny_run.command(demo, *arguments) == cli.USER_ERROR
        tiny_run.check_error(capsys, part)


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_limited_decoding_of_any_bytes():
    random = np.random.RandomState(1)
    for image_format in ('PNG', 'JPEG', 'GIF', 'BMP', 'TIFF'):
        whole = np.frombuffer(encoded(color_graph.picture(), image_format), np.uint8)
        for _ in range(30):
            broken = whole.copy()
            broken[random.randint(0, min(len(broken), 300), 3)] = random.randint(0, 256, 3)
            with contextlib.suppress(errors.UserError):
                segmenter.decode_limited(broken.tobytes(), 10000, 'x')


def test_a_browser_shows_what_was_dropped(address, tmp_path):
    image = color_graph.picture()
    with browser.opened(str(tmp_path / 'profile')) as driver:
        driver.get(address)

        def message_after(content, name):
            before = driver.find_element('id', 'message').text
            browser.drop_file(driver, name, base64.b64encode(content).decode(), 'image/png')
            for _ in range(200):
                now = driver.find_element('id', 'message').text
                if now != before and not now.startswith('Looking at'):
                    return now
                time.sleep(0.05)
            raise AssertionError('no answer on the page: ' + now)

        def shown():
            for name in ('input', 'overlay', 'labels'):
                size = driver.execute_async_script(
                    'const [name, done] = arguments, shown = document.getElementById(name);'
                    'shown.decode().then('
                    '() => done([shown.naturalWidth, shown.naturalHeight]), () => done(null));',
                    name)
                assert size == [60, 40]

        assert 'not a picture that can be read' in message_after(b'words', 'words.png')
        assert not driver.find_element('id', 'result').is_displayed()
        assert message_after(encoded(image), '<b>scene</b>.png').startswith(
            '<b>scene</b>.png: 60 x 40 pixels, ')
        assert 'larger than' in message_after(b'x' * 200000, 'large.png')
        assert 'wide.png: 120 x 60 pixels, predicted at 80 x 40, ' in message_after(
            encoded(color_graph.picture(60, 120)), 'wide.png')
        # No browser but one shows this format by itself.
        message_after(encoded(image, 'TIFF'), 'scene.tif')
        shown()
        message_after(encoded(image), 'scene.png')
        shown()
        rows = driver.find_element('id', 'classes').text.splitlines()
        assert len(rows) == 3 and rows[0].endswith(' %')
