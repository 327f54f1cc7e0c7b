"""Run a synthesis with `SentenceMode` against an endpoint: `python synthesis_driver.py URL OUTPUT COUNT [resume]`."""

from __future__ import annotations

import sys

from sentence_mode import SentenceMode, document

from turnwise.llm.settings import ClientConfig
from turnwise.synthesis.settings import SynthesisConfig
from turnwise.synthesis.synthesize import synthesize

IN_FLIGHT = 4
SENTENCES = 4

if __name__ == "__main__":
    url, output, count = sys.argv[1:4]
    settings = SynthesisConfig(client=ClientConfig(max_concurrency=IN_FLIGHT))
    synthesize(
        [document(number, SENTENCES) for number in range(int(count))],
        SentenceMode,
        output,
        teacher=f"teacher@{url}",
        settings=settings,
        resume="resume" in sys.argv[4:],
    )
