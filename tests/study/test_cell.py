"""The training run of a cell follows from the study, and what a method says itself wins."""

from __future__ import annotations

from turnwise.config import check_config
from turnwise.study.cell import cell_settings
from turnwise.study.plan import Cell, StudyConfig
from turnwise.study.prepare import warmup_file


def test_methods_that_weigh_get_the_warm_up_set_unless_they_say_their_own(tmp_path):
    config = check_config(
        StudyConfig,
        {
            "name": "warm-up",
            "base": {"model": "demo"},
            "mixtures": {"m": {"sources": [{"world": {"n": 4, "seed": 2}}]}},
            "methods": {
                "plain": {"method": "vicuna"},
                "weighted": {"method": "resure"},
                "without": {"method": "resure", "warmup_data": []},
                "own": {"method": "resure", "warmup_data": ["good.jsonl"]},
            },
            "warmup": {"sources": [{"world": {"n": 4, "seed": 4}}]},
            "output": str(tmp_path),
        },
        "test",
    )
    found = {
        name: [source.path for source in cell_settings(config, tmp_path, Cell(name, "m", 0))[0].warmup_data]
        for name in config.methods
    }
    common = str(warmup_file(tmp_path))
    assert found == {"plain": [], "weighted": [common], "without": [], "own": ["good.jsonl"]}
