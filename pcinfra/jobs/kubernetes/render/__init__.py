"""A JobSpec as Kubernetes objects. Pure: values in, values out."""
