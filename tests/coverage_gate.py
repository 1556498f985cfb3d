"""The coverage that a landing must keep: everything at 90 %, decisions at 100 %, branches counted.

Run after ``coverage combine``. Prints what is missing where, and fails when a bar is not reached.
"""

import json
import subprocess
import sys
from pathlib import Path

OVERALL = 90.0
COMPLETE = (
    "bind_agent/api/",
    "konnector/schema/",
    "konnector/sync/brake.py",
    "konnector/sync/claim_",
    "konnector/sync/copies.py",
    "konnector/sync/essence.py",
    "konnector/sync/managed_fields.py",
    "konnector/sync/metadata.py",
    "konnector/sync/model.py",
    "konnector/sync/ownership.py",
    "konnector/sync/patches.py",
    "konnector/sync/placement.py",
    "konnector/sync/plan.py",
)
"""Paths (or beginnings of paths) of pure code: nothing there may be untested."""


def main() -> int:
    """Report, and say by the exit status whether all bars are reached."""
    report = Path(".coverage.json")
    subprocess.run([sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(report)], check=True)
    data = json.loads(report.read_text())
    report.unlink()
    total = data["totals"]["percent_covered"]
    incomplete = {
        path: file
        for path, file in sorted(data["files"].items())
        if path.startswith(COMPLETE) and file["summary"]["percent_covered"] < 100
    }
    for path, file in sorted(data["files"].items(), key=lambda item: item[1]["summary"]["percent_covered"])[
        :12
    ]:
        print(f"{file['summary']['percent_covered']:6.1f} %  {path}")
    for path, file in incomplete.items():
        print(
            f"not complete: {path} lines {file['missing_lines']} branches {file.get('missing_branches', [])}"
        )
    print(
        f"coverage {total:.1f} % overall (bar {OVERALL:.0f} %), {len(incomplete)} decision modules below 100 %"
    )
    return 1 if incomplete or total < OVERALL else 0


if __name__ == "__main__":
    sys.exit(main())
