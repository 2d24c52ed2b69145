"""``python -m pcinfra.stacks``: write the committed rendering anew."""

from __future__ import annotations

from pcinfra import assets
from pcinfra.stacks.prerequisites import FILE_NAME, render
from pcinfra.stacks.settings import StackSettings


def main() -> None:
    path = assets.folder("cfn") / FILE_NAME
    path.write_text(render(StackSettings()), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
