"""``python -m pcinfra.project``: write the generated part of ``docs/settings.md`` anew."""

from __future__ import annotations

from pathlib import Path

from pcinfra.project.reference import MARKER, reference


def main() -> None:
    path = Path(__file__).parents[2] / "docs" / "settings.md"
    written, _, _ = path.read_text(encoding="utf-8").partition(MARKER)
    path.write_text(written + MARKER + "\n" + reference(), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
