"""The report's page in a real browser, wide and narrow."""

import html
import json
import re
import shutil
import subprocess

import pytest

from genlat.report import page
from report_for_tests import FIGURES, spoil, write_run

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not BROWSER, reason="no browser is installed"),
]
QUIET = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
    ),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--enable-logging=stderr", "--dump-dom"),
)
# in a frame, because a window cannot be narrower than 500 pixels
FRAME = """<iframe id=frame style="width:{width}px;height:900px;border:0"
srcdoc="{page}"></iframe><pre id=found></pre><script>
frame.onload = () => {{
  const inside = frame.contentDocument, root = inside.documentElement;
  // what overflows a box that scrolls, or that is folded away, is in nobody's way
  const wide = [...inside.body.querySelectorAll("*")].filter(x =>
    x.checkVisibility() && !x.parentElement.closest("svg, .wide, pre")
    && x.getBoundingClientRect().right > root.clientWidth + 0.5);
  found.textContent = JSON.stringify({{
    width: root.clientWidth, scroll: root.scrollWidth, wide: wide.map(x => x.outerHTML),
    figures: [...inside.querySelectorAll("figure svg")].map(x =>
      [x.getBoundingClientRect().width, x.getBoundingClientRect().height]),
  }});
}};
</script>"""


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    directory = write_run(tmp_path_factory.mktemp("report") / "run")
    spoil(directory)
    return page.write(directory).read_text(encoding="utf-8")


def browse(text, width, directory):
    """What a browser measures, and what it writes to its console."""
    harness = directory / "frame.html"
    harness.write_text(FRAME.format(width=width, page=html.escape(text)), "utf-8")
    profile = f"--user-data-dir={directory / 'profile'}"
    command = [str(BROWSER), *QUIET, profile, "--window-size=1400,1000"]
    done = subprocess.run(
        [*command, harness.as_uri()], capture_output=True, text=True, timeout=100
    )
    found = re.search(r"<pre id=\"found\">(.*?)</pre>", done.stdout, re.DOTALL)
    assert found, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), console


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_overflows_or_fails(text, tmp_path, width):
    measured, console = browse(text, width, tmp_path)
    assert console == []
    assert measured["width"] == pytest.approx(width, abs=20)  # a scroll bar
    assert measured["scroll"] <= measured["width"]
    assert measured["wide"] == []
    assert len(measured["figures"]) == len(FIGURES)
    assert all(w > 300 and h > 100 for w, h in measured["figures"])


def test_the_browser_would_notice(tmp_path):
    """Negative control: an error, an overflow and an empty figure."""
    bad = "<script>throw Error('boom')</script><div style='width:900px'>x</div>"
    bad += "<figure><svg style='width:0;height:0'></svg></figure>"
    measured, console = browse(bad, 400, tmp_path)
    assert "boom" in console[0]
    assert measured["wide"]
    assert measured["scroll"] > measured["width"]
    assert measured["figures"] == [[0, 0]]
