"""pcinfra: from an empty AWS account to a running multi-node GPU training job, and back to nothing."""

__version__ = "0.1.0"
