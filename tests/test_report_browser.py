"""Reports as a browser shows them. Skipped where there is no Chromium."""

import shutil
import subprocess
from pathlib import Path

import pytest
from report_lines import study, write

from rcompile.report.page import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
# What the page is asked in the browser: whether it is wider than the window, and what it shows.
ASK = """<script>addEventListener("load", () => {
const shown = s => [...document.querySelectorAll(s)].filter(e => e.getClientRects().length).length;
const wide = document.documentElement.scrollWidth > innerWidth;
document.title = `wide ${wide}; figures ${shown("figure svg")}; dark ${getComputedStyle(document.body).backgroundColor !== "rgb(255, 255, 255)"}`;
})</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_a_browser_shows_it_without_a_complaint(width: int, dark: bool, tmp_path: Path) -> None:
    lines = study({"none": 5, "auto": 1}, (0.001, 0.01), 3)
    write_report(write(tmp_path / "r", lines), tmp_path / "page.html")
    asked = tmp_path / "asked.html"
    asked.write_text((tmp_path / "page.html").read_text().replace("</head>", ASK + "</head>"))
    options = [
        "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", f"--window-size={width},900",
        f"--blink-settings=preferredColorScheme={int(not dark)}", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run([str(BROWSER), *options, asked.as_uri()], capture_output=True, text=True, check=True)
    assert f"<title>wide false; figures 1; dark {str(dark).lower()}</title>" in done.stdout
    assert "CONSOLE" not in done.stderr
