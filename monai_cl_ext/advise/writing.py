# SPDX-License-Identifier: Apache-2.0
"""What an adviser found as files: numbers for programs, and the overlay for a bundle."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai_cl_ext.advise.advice import Advice
from monai_cl_ext.advise.suggestion import CAUTION

NUMBERS, OVERLAY = "advice.json", "view_policy.json"


def write_advice(advice: Advice, folder: str | Path) -> Path:
    """Writes advice.json and view_policy.json; makes the folder when missing.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NUMBERS).write_text(json.dumps(numbers(advice), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (folder / OVERLAY).write_text(overlay_text(advice) + "\n", encoding="utf-8")
    return folder


def numbers(advice: Advice) -> dict[str, Any]:
    """All figures of the advice as JSON has them."""
    return {
        "suggestion": {"strength": advice.strength, "why": advice.why, "caution": CAUTION, "overlay": advice.overlay},
        "scores": [{"strength": strength, "score": score} for strength, score in advice.scores.items()],
        "strengths": [asdict(rung) for rung in advice.strengths],
        "operations": [asdict(rung) for rung in advice.operations],
        **advice.facts,
    }


def overlay_text(advice: Advice) -> str:
    """The overlay as the text of a file."""
    return json.dumps(advice.overlay, indent=4)
