"""What is known of both sides of an association, so that only what changed on one of them is moved to the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from pcinfra.localcloud.services.fsx.posix import Signature


@dataclass
class Ledger:
    """Kept with the association, in the same snapshot as the objects of S3: both go back together, or neither does.

    Args:
        objects: path -> mark of every object as it was last seen. What differs from it now is an event in S3.
        files: path -> signature of every file as it was last seen. What differs from it now is an event on Lustre.
        archived: path -> signature of the files whose content and metadata are in S3.
        begun: whether ``objects`` has been filled; what is in S3 before that is no event.
    """

    objects: dict[str, str] = field(default_factory=dict)
    files: dict[str, Signature] = field(default_factory=dict)
    archived: dict[str, Signature] = field(default_factory=dict)
    begun: bool = False

    def moved(self, path: str, signature: Signature, mark: str) -> None:
        """Both sides are the same now."""
        self.files[path] = self.archived[path] = signature
        self.objects[path] = mark

    def seen(self, path: str, signature: Signature) -> None:
        """The file has been noticed, and stays only on Lustre."""
        self.files[path] = signature

    def forget_file(self, path: str) -> None:
        self.files.pop(path, None)
        self.archived.pop(path, None)
