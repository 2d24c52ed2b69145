"""``python -m pcinfra.jobs``: write the generated part of ``docs/jobs.md`` anew."""

from __future__ import annotations

from pathlib import Path

from pcinfra.jobs.spec import JobSpec
from pcinfra.project.reference import reference

MARKER = "<!-- From here on: python -m pcinfra.jobs -->"


def main() -> None:
    path = Path(__file__).parents[2] / "docs" / "jobs.md"
    written, _, _ = path.read_text(encoding="utf-8").partition(MARKER)
    path.write_text(written + MARKER + "\n" + reference(JobSpec), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
