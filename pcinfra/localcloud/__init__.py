"""The local cloud: AWS's API calls answered on this machine, and a real Slurm behind the head node.

One background process on 127.0.0.1. moto provides the services; where moto is wrong or has nothing, ours takes over.

::

    process   starts, stops and finds the background process; imports nothing heavy
    server    that process: wires everything below together
    http      one request at a time, in the protocol's own error format
    gate      the lock that makes every API call atomic
    state     everything that is kept across a restart
    services  FSx, EC2, S3, SSM, IAM... where moto does not answer as AWS does
    cfn       CloudFormation
    headnode  the machines: Slurm, and where commands run

Nothing imports this package but ``pcinfra local`` and what starts the local cloud on demand.
"""

ACCOUNT = "123456789012"
"""The account that every caller is in, but those who have assumed a role of another one."""

CREDENTIALS = ("AKIAPCINFRALOCAL0000", "pcinfra-local-cloud")
"""Access key id and secret access key that the local cloud is called with; it accepts any others as well."""

HOST = "127.0.0.1"
"""The only address that the local cloud listens on."""

UNSAVED = "the state could not be saved: "
"""Beginning of what its log says last when it has ended without saving what it holds."""
