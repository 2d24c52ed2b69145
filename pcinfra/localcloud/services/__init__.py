"""What the services of the local cloud do where moto does not answer as AWS does: one module per service.

Each has ``install()``, to be called before the first call of the process. The docstring of every rule says where AWS
states it: an API reference, or botocore's own model of the service.
"""
