"""A headless Chromium for tests of pages, or a skip that says why there is none."""
import contextlib
import os
import shutil

import pytest

# Drops a file made of bytes on the page, as a person does with the mouse.
_DROP = """
const bytes = Uint8Array.from(atob(arguments[1]), each => each.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], arguments[0], {type: arguments[2]}));
for (const kind of ['dragover', 'drop'])
  document.getElementById('drop').dispatchEvent(
    new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: transfer}));
"""
_FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
          '--disable-background-networking', '--disable-component-update', '--disable-sync',
          '--disable-dev-shm-usage', '--window-size=1180,940')


@contextlib.contextmanager
def opened(profile):
    """Gives a Selenium driver of Chromium.

    Args:
        profile: empty folder for the browser's files.
    """
    webdriver = pytest.importorskip('selenium.webdriver', reason='Selenium is not installed')
    chromium = shutil.which('chromium') or shutil.which('google-chrome')
    driver_path = shutil.which('chromedriver')
    if not chromium or not driver_path:
        pytest.skip('no Chromium with its chromedriver on this machine')
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in _FLAGS + ('--user-data-dir={}'.format(profile),):
        options.add_argument(flag)
    if hasattr(webdriver, 'ChromeService'):
        service = {'service': webdriver.ChromeService(driver_path)}
    else:
        service = {'executable_path': driver_path}
    # Selenium asks nobody but this machine.
    os.environ['NO_PROXY'] = '127.0.0.1,localhost'
    driver = webdriver.Chrome(options=options, **service)
    try:
        yield driver
    finally:
        driver.quit()


def drop_file(driver, name, encoded, kind):
    """Drops a file on the element `drop`; `encoded` is its base64."""
    driver.execute_script(_DROP, name, encoded, kind)
