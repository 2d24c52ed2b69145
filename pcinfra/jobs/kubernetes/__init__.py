"""Kubernetes: a JobSpec as TrainJob or PyTorchJob, checked as the API server and the operators would, and launched."""
