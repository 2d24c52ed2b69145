"""Session Manager's other end: the service's gateway and the agent of a node, in one process.

The API's own calls are in :mod:`pcinfra.localcloud.services.ssm_sessions`. Nothing is shared with pcinfra's client:
the two were written from the same published sources and each catches what the other gets wrong.
"""
