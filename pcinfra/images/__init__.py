"""Training images: what one is made of, what can make it, and how it gets into ECR."""

from __future__ import annotations

from pcinfra.images.model import IMAGE, REPOSITORY, Order

__all__ = ["IMAGE", "REPOSITORY", "Order"]
