"""The printed figures of the R2S paper's Tables 2 to 5: rows of nine metrics and their average, as data points."""

from __future__ import annotations

from dataclasses import dataclass

_FIGURES = {
    2: """
Direct|GPT-3.5|3.15 3.60 3.60 3.60 3.15 3.57 3.57 3.12 59.18 2.96
CoT|GPT-3.5|2.93 3.55 3.55 4.06 3.70 3.58 3.64 3.88 46.04 3.46
CoD|GPT-3.5|3.94 4.32 4.32 4.32 4.13 4.34 4.34 4.28 74.77 4.19
CoD|gLLM Llama-3-8B|3.86 4.30 4.30 4.21 4.01 4.29 4.18 3.97 68.41 4.06
CoD|gLLM Qwen-2-7B|3.89 4.26 4.26 4.27 4.08 4.30 4.24 4.17 67.54 4.09
Direct|Qwen|3.57 4.23 4.23 4.23 4.20 4.12 4.30 4.02 70.62 4.04
CoT|Qwen|3.50 4.18 4.18 4.18 4.16 4.12 4.26 3.96 73.67 4.02
CoD|Qwen|3.95 4.45 4.45 4.43 4.24 4.47 4.48 4.42 83.03 4.33
Direct|Deepseek|3.53 4.20 4.20 4.20 4.17 4.13 4.26 4.03 60.79 3.97
CoT|Deepseek|3.64 4.28 4.28 4.29 4.18 4.25 4.34 4.11 70.02 4.09
CoD|Deepseek|3.95 4.46 4.46 4.44 4.30 4.49 4.50 4.39 75.32 4.30
""",
    3: """
Direct|GPT-3.5|3.24 3.66 3.66 3.67 3.24 3.65 3.65 2.98 21.18 3.20
CoT|GPT-3.5|2.95 3.67 3.67 4.03 3.72 3.67 3.70 3.46 19.50 3.42
CoD|GPT-3.5|3.96 4.39 4.39 4.39 4.20 4.42 4.42 4.29 40.55 4.05
CoD|gLLM Llama-3-8B|3.92 4.36 4.36 4.27 4.16 4.37 4.36 4.25 35.42 3.98
CoD|gLLM Qwen-2-7B|3.93 4.34 4.34 4.29 4.19 4.40 4.38 4.25 36.74 3.99
Direct|Qwen|3.37 4.16 4.16 4.17 4.13 4.07 4.16 3.91 33.07 3.75
CoT|Qwen|3.42 4.16 4.16 4.17 4.13 4.12 4.16 3.95 35.07 3.78
CoD|Qwen|3.80 4.36 4.36 4.33 4.20 4.36 4.40 4.30 51.69 4.07
Direct|Deepseek|3.53 4.11 4.11 4.16 4.11 4.10 4.18 4.02 21.71 3.71
CoT|Deepseek|3.51 4.19 4.19 4.20 4.13 4.16 4.22 4.01 34.24 3.81
CoD|Deepseek|3.81 4.38 4.38 4.34 4.20 4.40 4.41 4.34 36.29 4.00
RefGPT|-|3.66 4.33 4.33 4.28 4.20 4.23 4.31 4.04 45.57 3.96
""",
    4: """
Direct|GPT-3.5|3.26 3.64 3.64 3.67 3.31 3.59 3.59 3.16 22.66 3.22
CoT|GPT-3.5|3.24 3.95 3.95 4.10 3.96 3.96 4.01 3.73 28.73 3.59
CoD|GPT-3.5|3.87 4.30 4.30 4.34 4.11 4.35 4.35 4.30 73.03 4.17
CoD|gLLM Llama-3-8B|3.86 4.28 4.28 4.25 4.07 4.32 4.32 4.01 66.28 4.07
CoD|gLLM Qwen-2-7B|3.87 4.26 4.26 4.29 4.10 4.34 4.34 4.10 69.44 4.11
Direct|Qwen|3.49 4.15 4.15 4.16 4.12 4.08 4.21 4.01 43.92 3.83
CoT|Qwen|3.58 4.25 4.25 4.26 4.10 4.24 4.29 4.06 60.29 4.00
CoD|Qwen|3.75 4.36 4.36 4.20 4.16 4.36 4.38 4.31 68.01 4.14
Direct|Deepseek|3.49 4.11 4.10 4.12 4.10 4.11 4.18 4.05 33.79 3.77
CoT|Deepseek|3.64 4.32 4.32 4.29 4.10 4.31 4.33 4.09 62.25 4.05
CoD|Deepseek|3.69 4.33 4.33 4.27 4.17 4.31 4.34 4.29 65.13 4.10
""",
    5: """
Direct|Artifacts Qwen-2-7B GPT-3.5|3.90 4.30 4.28 3.89 4.06 4.45 4.45 4.44 67.61 4.12
Direct|Artifacts Llama-3-8B GPT-3.5|3.38 4.09 4.05 3.67 3.97 4.19 4.16 3.80 59.47 3.80
CoD|Artifacts Qwen-2-7B GPT-3.5|3.93 4.31 4.30 3.98 4.11 4.45 4.45 4.45 80.02 4.22
CoD|Artifacts Llama-3-8B GPT-3.5|3.84 4.03 4.03 4.08 4.07 4.22 4.23 4.21 72.49 4.03
CoD|Artifacts Qwen-2-7B gLLM|3.89 4.32 4.30 3.91 4.04 4.42 4.43 4.45 75.33 4.16
CoD|Artifacts Llama-3-8B gLLM|3.75 3.98 3.98 3.89 4.01 4.19 4.21 4.19 64.57 3.93
Direct|RefGPT Qwen-2-7B GPT-3.5|3.85 4.21 4.20 3.65 3.95 4.36 4.36 4.38 31.41 3.83
Direct|RefGPT Llama-3-8B GPT-3.5|3.54 3.88 3.88 3.57 3.77 3.94 3.94 3.95 28.55 3.54
CoD|RefGPT Qwen-2-7B GPT-3.5|3.87 4.24 4.24 3.76 4.04 4.39 4.40 4.40 57.23 4.02
CoD|RefGPT Llama-3-8B GPT-3.5|3.60 3.97 3.97 3.69 3.87 3.99 4.00 3.99 52.84 3.74
CoD|RefGPT Llama-3-8B gLLM|3.50 3.91 3.91 3.66 3.85 3.93 3.92 3.98 45.11 3.65
CoD|RefGPT Qwen-2-7B gLLM|3.81 4.22 4.22 3.69 3.95 4.34 4.34 4.41 42.38 3.89
Direct|SquadV2 Qwen-2-7B GPT-3.5|3.86 4.10 4.10 3.64 3.92 4.23 4.20 4.04 53.14 3.86
Direct|SquadV2 Llama-3-8B GPT-3.5|3.80 3.56 3.56 3.26 3.40 3.91 3.82 3.76 46.32 3.48
CoD|SquadV2 Qwen-2-7B GPT-3.5|3.87 4.10 4.10 3.67 3.95 4.23 4.20 4.07 61.84 3.92
CoD|SquadV2 Llama-3-8B GPT-3.5|3.76 3.79 3.79 3.32 3.49 4.00 3.88 3.84 48.98 3.59
CoD|SquadV2 Llama-3-8B gLLM|3.58 3.75 3.75 3.30 3.49 3.89 3.74 3.86 58.01 3.58
CoD|SquadV2 Qwen-2-7B gLLM|3.80 4.01 4.01 3.74 3.94 4.27 4.17 4.12 51.73 3.84
""",
}


@dataclass(frozen=True)
class Row:
    """One printed row: the eight judged metrics in the paper's order, the coverage rate in percent, the average."""

    table: int
    number: int
    name: str
    metrics: tuple[float, ...]
    coverage: float
    average: float


def _rows() -> list[Row]:
    rows = []
    for table, text in _FIGURES.items():
        for number, line in enumerate(text.strip().splitlines(), start=1):
            mode, who, figures = line.split("|")
            values = [float(value) for value in figures.split()]
            rows.append(Row(table, number, f"{mode}, {who}", tuple(values[:8]), values[8], values[9]))
    return rows


ROWS = _rows()
