"""The quickstart over learning rates, noise rates and seeds: where the published rule helps, costs and fails.

python benchmarks/quickstart_sweep.py WORK       writes docs/results/quickstart_sweep.{md,json}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

LEARNING_RATES = (3e-4, 5e-4, 1e-3, 2e-3)
NOISE_RATES = (0.0, 0.6)
SEEDS = (0, 1, 2)


def main(work: Path) -> None:
    """Run what is missing, then write the table."""
    results = []
    for noise in NOISE_RATES:
        for rate in LEARNING_RATES:
            for seed in SEEDS:
                folder = work / f"noise{noise}-lr{rate:g}-seed{seed}"
                if not (folder / "report.html").exists():
                    command = [sys.executable, "-m", "turnwise", "quickstart", "--output", str(folder), "--overwrite"]
                    command += ["--noise", str(noise), "--learning-rate", str(rate), "--seed", str(seed)]
                    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
                summary = json.loads((folder / "summary.json").read_text())
                results.append(
                    {
                        "noise": noise,
                        "learning_rate": rate,
                        "seed": seed,
                        **{name: figure["accuracy"] for name, figure in summary["eval"].items()},
                        "auroc": summary["auroc_noise"],
                        "flagged": summary["noise"]["flagged_share"],
                    }
                )
                print(results[-1], flush=True)
    lines = [
        "| wrong dialogues | learning rate | base | plain, each seed | ReSURE (paper), each seed | AUROC | flagged |",
        "|---|---|---|---|---|---|---|",
    ]
    for noise in NOISE_RATES:
        for rate in LEARNING_RATES:
            runs = [run for run in results if run["noise"] == noise and run["learning_rate"] == rate]
            cells = [f"{noise:.0%}", f"{rate:g}", f"{runs[0]['base']:.3f}"]
            for key in ("plain", "resure", "auroc", "flagged"):
                known = [run[key] for run in runs if run[key] is not None]
                cells.append(", ".join(f"{value:.3f}" for value in known) or "-")
            lines.append("| " + " | ".join(cells) + " |")
    target = Path(__file__).parents[1] / "docs" / "results"
    target.mkdir(parents=True, exist_ok=True)
    (target / "quickstart_sweep.json").write_text(json.dumps(results, indent=1) + "\n")
    (work / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
