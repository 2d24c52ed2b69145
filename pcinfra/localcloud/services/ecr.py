"""ECR: moto's, with tokens that have not expired in 2015 and digests that are those of the manifests."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ecr.exceptions import InvalidParameterException, RepositoryNotFoundException
from moto.ecr.models import ECRBackend, Image
from moto.ecr.responses import ECRResponse

from pcinfra.localcloud.services.errors import ServiceError
from pcinfra.localcloud.services.patching import put

TOKEN_LIFE = timedelta(hours=12)
"""ECR API reference, GetAuthorizationToken: "the token is valid for 12 hours"."""


def install() -> None:
    """Change moto's ECR."""
    get_token = ECRResponse.get_authorization_token

    def get_live_token(self: Any) -> ActionResult:
        answer: Any = get_token(self).result
        for row in answer["authorizationData"]:
            row["expiresAt"] = datetime.now(UTC) + TOKEN_LIFE
        return ActionResult(answer)

    put(ECRResponse, get_authorization_token=get_live_token)
    put(Image, _create_digest=_digest)
    _check_images()


def _digest(self: Any) -> None:
    """ECR API reference, ImageIdentifier: "imageDigest: the sha256 digest of the image manifest"."""
    self._image_digest = f"sha256:{hashlib.sha256(self.image_manifest.encode()).hexdigest()}"


def _check_images() -> None:
    """PutImage ends in one of its own errors where moto fails altogether."""
    put_image = ECRBackend.put_image

    def checked(self: Any, repository_name: str, image_manifest: str, *args: Any, **kwargs: Any) -> Any:
        if repository_name not in self.repositories:
            raise RepositoryNotFoundException(repository_name, self.account_id)
        if not _is_manifest(image_manifest):
            raise InvalidParameterException("Invalid parameter at 'imageManifest': it is not an image manifest")
        _check_tag(self.repositories[repository_name], image_manifest, args[0] if args else kwargs["image_tag"])
        return put_image(self, repository_name, image_manifest, *args, **kwargs)

    put(ECRBackend, put_image=checked)


def _check_tag(repository: Any, manifest: str, tag: str | None) -> None:
    """PutImage, ImageTagAlreadyExistsException: "the repository is configured for tag immutability"."""
    taken = any(tag in image.image_tags and image.image_manifest != manifest for image in repository.images)
    if tag and taken and repository.image_tag_mutability == "IMMUTABLE":
        why = f"The image tag '{tag}' already exists in the '{repository.name}' repository and cannot be overwritten"
        raise ServiceError("ImageTagAlreadyExistsException", f"{why} because the repository is immutable.")


def _is_manifest(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
