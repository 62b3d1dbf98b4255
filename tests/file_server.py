"""A file server on this machine for tests of downloads, with the faults that servers have."""
import base64
import contextlib
import hashlib
import http.server
import re
import socket
import threading


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files` ({path: bytes}) with ranges; see `Served` for the faults."""

    def do_GET(self):
        served = self.server.served
        served.ranges.append(self.headers.get('Range'))
        content = served.files.get(self.path)
        if served.status:
            self.send_error(served.status)
            return
        if content is None:
            self.send_error(404)
            return
        begin, status = 0, 200
        asked = re.match(r'bytes=(\d+)-', self.headers.get('Range') or '')
        wanted_tag = self.headers.get('If-Range')
        if asked and served.with_ranges and wanted_tag in (None, served.tag):
            begin, status = int(asked.group(1)), 206
            if begin >= len(content):
                self.send_response(416)
                self.send_header('Content-Range', 'bytes */{}'.format(len(content)))
                self.send_header('Content-Length', '0')
                self.end_headers()
                return
        self.send_response(status)
        if status == 206:
            self.send_header('Content-Range', 'bytes {}-{}/{}'.format(
                begin, len(content) - 1, len(content)))
        self.send_header('Content-Length', str(len(content) - begin))
        if served.tag:
            self.send_header('ETag', served.tag)
        if served.with_checksum:
            self.send_header('x-goog-hash', 'crc32c=AAAAAA==')
            self.send_header('x-goog-hash', 'md5=' + base64.b64encode(
                hashlib.md5(served.hashed or content).digest()).decode())
        self.end_headers()
        rest = content[begin:]
        if served.cuts:
            self.wfile.write(rest[:served.cuts.pop(0)])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(rest)

    def log_message(self, *_):
        pass


class Served:
    """What the server has, and how it fails.

    files: {'/name': bytes}. cuts: after so many bytes the connection breaks, one for each of the
    next answers. with_ranges: whether parts are served. tag: ETag. with_checksum: whether it tells
    the md5, of `hashed` where that is set. status: answer with that error. ranges: the Range
    header of every request.
    """

    def __init__(self, files):
        self.files = files
        self.cuts = []
        self.with_ranges = True
        self.tag = '"first"'
        self.with_checksum = False
        self.hashed = None
        self.status = None
        self.ranges = []
        self.address = None


@contextlib.contextmanager
def serve(files):
    """Gives a running `Served`; its `address` begins the address of every file."""
    server = http.server.HTTPServer(('127.0.0.1', 0), _Handler)
    server.served = Served(files)
    server.served.address = 'http://127.0.0.1:{}'.format(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02})
    thread.start()
    try:
        yield server.served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_address():
    """Returns an address where nobody listens."""
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(('127.0.0.1', 0))
        return 'http://127.0.0.1:{}'.format(taken.getsockname()[1])
