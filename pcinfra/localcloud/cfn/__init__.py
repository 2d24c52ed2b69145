"""A strict CloudFormation for the local cloud, in place of moto's.

Call :func:`install` before ``moto.mock_aws().start()`` and before moto's server starts. Every resource is made by
boto3 calls to moto's own services in the same process; see ``backend`` for state and restarts, ``hooks`` for what
plugs in, ``handlers`` for the resource types.
"""

from __future__ import annotations

from pcinfra.localcloud.cfn.hooks import Hooks, MadeResource, StackDeleted, WaitCondition

__all__ = ["Hooks", "MadeResource", "StackDeleted", "WaitCondition", "install"]


def install(hooks: Hooks | None = None) -> None:
    """Replace moto's CloudFormation service by this one, for the whole process.

    Calling it again only exchanges the hooks.
    """
    import moto.cloudformation
    import moto.cloudformation.urls as urls

    from pcinfra.localcloud.cfn.api import Response
    from pcinfra.localcloud.cfn.backend import Backend, backends

    Backend.hooks = hooks or Hooks()
    moto.cloudformation.cloudformation_backends = backends  # type: ignore[attr-defined, assignment]
    urls.url_paths = {"{0}/$": Response.dispatch}
