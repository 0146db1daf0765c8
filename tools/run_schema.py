"""Write the JSON Schema of a run file that `nshtrainer schema` prints and completion reads.

python tools/run_schema.py
"""

from __future__ import annotations

from nshtrainer.project.run_schema import READY_MADE, ready_made_text

if __name__ == "__main__":
    READY_MADE.write_text(ready_made_text(), encoding="utf-8")
