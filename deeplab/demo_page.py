"""The HTML, style and script of the demo's page; see `deeplab.demo_app`."""
import json

# Stands where the JSON of the settings goes.
_DATA_MARK = '@@DATA@@'


def render(title: str, max_upload_bytes: int, max_pixels: int) -> str:
    """Returns the page.

    Args:
      title: of the model.
      max_upload_bytes, max_pixels: the limits, to be told.
    """
    data = json.dumps({'title': title, 'max_bytes': max_upload_bytes, 'max_pixels': max_pixels})
    # Inside a script element only the end tag matters.
    return _TEMPLATE.replace(_DATA_MARK, data.replace('<', '\\u003c'))


_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>DeepLab demo</title>
<style>
  :root { --ink: #1d232b; --soft: #5d6875; --line: #d9dee4; --ground: #f5f6f8; --act: #1f6feb; }
  * { box-sizing: border-box; }
  body { margin: 0; font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif; color: var(--ink);
         background: var(--ground); }
  header { background: #fff; border-bottom: 1px solid var(--line); padding: 12px 22px; }
  h1 { font-size: 18px; margin: 0; }
  h2 { font-size: 14px; margin: 0 0 8px; color: var(--soft); font-weight: 600; }
  #model { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
  main { max-width: 1180px; margin: 0 auto; padding: 18px 22px; }
  #drop { display: block; border: 2px dashed #aab4c0; border-radius: 8px; background: #fff;
          padding: 22px; text-align: center; cursor: pointer; color: var(--soft); }
  #drop.over, #drop:focus-within { border-color: var(--act); background: #eef4ff; }
  #drop b { color: var(--act); }
  #drop input { position: absolute; opacity: 0; width: 1px; height: 1px; }
  #message { margin: 12px 0 0; min-height: 22px; }
  #message.error { color: #b3261e; font-weight: 600; }
  #result { display: none; margin-top: 8px; gap: 16px; flex-wrap: wrap; }
  #result.shown { display: flex; }
  section { background: #fff; border: 1px solid var(--line); border-radius: 8px;
            padding: 12px 14px; }
  .picture { flex: 1 1 300px; min-width: 0; }
  /* Not higher than leaves room for the classes on one screen. */
  .picture img { width: 100%; max-height: 44vh; object-fit: contain; display: block; }
  #labels { image-rendering: pixelated; }
  #seen { flex: 1 1 100%; }
  table { border-collapse: collapse; width: 100%; }
  td { padding: 3px 8px 3px 0; }
  td.share { text-align: right; font-variant-numeric: tabular-nums; width: 70px; }
  td.bar { width: 45%; }
  td.bar i { display: block; height: 10px; border-radius: 2px; }
  .swatch { display: inline-block; width: 22px; height: 14px; border: 1px solid #0005;
            vertical-align: -2px; margin-right: 8px; }
</style>
<header><h1>DeepLab demo</h1><div id="model"></div></header>
<main>
  <label id="drop">Drop a picture here, or <b>choose a file</b>
    <input id="file" type="file" accept="image/*"><div id="limits"></div></label>
  <p id="message" role="status" aria-live="polite"></p>
  <div id="result">
    <section class="picture"><h2>Picture</h2><img id="input" alt="the picture"></section>
    <section class="picture"><h2>Overlay</h2><img id="overlay" alt="classes over it"></section>
    <section class="picture"><h2>Labels</h2><img id="labels" alt="map of the classes"></section>
    <section id="seen"><h2>Classes</h2><table id="classes"></table></section>
  </div>
</main>
<script type="application/json" id="data">@@DATA@@</script>
<script>
'use strict';
const millions = number => Number((number / 1e6).toPrecision(3));
const get = id => document.getElementById(id);
const about = JSON.parse(get('data').textContent);
get('model').textContent = about.title;
get('limits').textContent = 'up to ' + millions(about.max_bytes) + ' MB and ' +
  millions(about.max_pixels) + ' million pixels; it stays on the machine of this page';

function say(text, isError) {
  get('message').textContent = text;
  get('message').className = isError ? 'error' : '';
}

function cell(row, className) {
  const made = row.insertCell();
  made.className = className || '';
  return made;
}

function show(file, answer) {
  get('input').src = answer.picture;
  get('overlay').src = answer.overlay;
  get('labels').src = answer.labels;
  const table = get('classes');
  table.replaceChildren();
  for (const seen of answer.classes) {
    const row = table.insertRow();
    const swatch = document.createElement('span');
    swatch.className = 'swatch';
    swatch.style.background = seen.color;
    cell(row).append(swatch, seen.name);
    cell(row, 'share').textContent = (100 * seen.share).toFixed(1) + ' %';
    const bar = document.createElement('i');
    bar.style.width = Math.max(0.5, 100 * seen.share) + '%';
    bar.style.background = seen.color;
    cell(row, 'bar').append(bar);
  }
  get('result').className = 'shown';
  const shrunk = answer.width !== answer.sent_width || answer.height !== answer.sent_height;
  say(file.name + ': ' + answer.sent_width + ' x ' + answer.sent_height + ' pixels, ' +
      (shrunk ? 'predicted at ' + answer.width + ' x ' + answer.height + ', ' : '') +
      answer.milliseconds + ' ms');
}

let latest = 0;
async function send(file) {
  const number = ++latest;
  if (file.size > about.max_bytes) {
    get('result').className = '';
    say('The file is larger than the ' + millions(about.max_bytes) + ' MB allowed here.', true);
    return;
  }
  say('Looking at ' + file.name + ' ...');
  let answer;
  try {
    const form = new FormData();
    form.append('picture', file);
    const response = await fetch('segment', {method: 'POST', body: form});
    answer = await response.json();
  } catch (error) {
    answer = {error: 'The server does not answer; is it still running?'};
  }
  if (number !== latest) return;  // Another picture was dropped meanwhile.
  if (answer.error) {
    get('result').className = '';
    say(answer.error, true);
  } else {
    show(file, answer);
  }
}

const drop = get('drop');
for (const name of ['dragover', 'dragleave', 'drop']) {
  document.addEventListener(name, event => {
    event.preventDefault();
    drop.classList.toggle('over', name === 'dragover');
  });
}
document.addEventListener('drop', event => {
  const file = event.dataTransfer.files[0];
  if (file) send(file); else say('That was not a file.', true);
});
get('file').addEventListener('change', () => {
  if (get('file').files[0]) send(get('file').files[0]);
  get('file').value = '';
});
</script>
</html>
"""
