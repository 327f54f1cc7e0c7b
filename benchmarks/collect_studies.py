"""Put what finished studies found into docs/results/studies: tables, every figure, and the main charts.

    python benchmarks/collect_studies.py runs/small/noise runs/small/ablation ...

For each study: `NAME.md` (its results.md), `NAME.parquet` (its results.parquet) and one `NAME-MEASURE.svg` per measure
of quality, cut out of its report with the report's own style, so that it can be looked at by itself.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "docs" / "results" / "studies"
CHART = re.compile(r'<svg class="chart"[^>]*aria-labelledby="quality-([\w-]+)-title.*?</svg>', re.DOTALL)
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def collect(folder: Path) -> list[str]:
    """Copy one study's results; returns the names of the files written."""
    name = folder.name
    TARGET.mkdir(parents=True, exist_ok=True)
    page = (folder / "report.html").read_text(encoding="utf-8")
    style = STYLE.search(page)
    written = [f"{name}.md", f"{name}.parquet"]
    shutil.copyfile(folder / "results.md", TARGET / written[0])
    shutil.copyfile(folder / "results.parquet", TARGET / written[1])
    for chart in CHART.finditer(page):
        head, rest = chart[0].split(">", 1)
        css = style[1] if style else ""
        background = "svg.chart{background:#fff;color-scheme:light}"
        text = f"{head}>\n<style><![CDATA[{css}{background}]]></style>{rest}\n"
        written.append(f"{name}-{chart[1]}.svg")
        (TARGET / written[-1]).write_text(text, encoding="utf-8")
    return written


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(*collect(Path(argument)), sep="\n")
