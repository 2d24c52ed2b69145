"""Slurm's reasons for a job's state, in plain words.

Source: Slurm's table of reasons (``job_reason_string`` in slurm_protocol_defs.c of 22.05, later job_state_reason.c),
which only ever grew, and the sentences that slurmctld puts in their place (``state_desc``), some with underscores for
spaces.
"""

from __future__ import annotations

_REASONS = {
    "None": "",
    "NonZeroExitCode": "",
    "AccountNotAllowed": "its account may not use the queue",
    "AccountingPolicy": "a rule of the accounting forbids it",
    "BadConstraints": "no node can ever have what it asks for",
    "BeginTime": "its start time has not come",
    "BurstBufferOperation": "its burst buffer failed",
    "BurstBufferResources": "no room in the burst buffer yet",
    "BurstBufferStageIn": "its burst buffer is being filled",
    "Cleaning": "its attempt before is still being cleaned up",
    "Constraints": "no node can ever have what it asks for",
    "DeadLine": "its deadline passed",
    "Dependency": "another job must end first",
    "DependencyNeverSatisfied": "the job that it waits for can never succeed",
    "FedJobLock": "another cluster of the federation may start it",
    "FrontEndDown": "the front end node is down",
    "InactiveLimit": "it was inactive for too long",
    "InvalidAccount": "there is no such account",
    "InvalidQOS": "there is no such quality of service",
    "JobArrayTaskLimit": "as many tasks of its array run as may run at once",
    "JobHeldAdmin": "held by an administrator, or by Slurm after it failed to start: scontrol release",
    "JobHeldUser": "held by its user",
    "JobHoldMaxRequeue": "held: Slurm has requeued it too often",
    "JobLaunchFailure": "it could not be started on its nodes",
    "Licenses": "a license is not free",
    "MaxMemPerLimit": "it asks for more memory per CPU or node than is allowed",
    "NodeDown": "a node that it needs is down",
    "OutOfMemory": "out of memory",
    "PartitionConfig": "the queue cannot take what it asks for",
    "PartitionDown": "the queue is down",
    "PartitionInactive": "the queue is inactive: the compute fleet is stopped or protected (pcinfra cluster show)",
    "PartitionNodeLimit": "the queue has fewer nodes than it asks for, or its limit is lower",
    "PartitionTimeLimit": "its time limit is longer than the queue allows",
    "PowerNotAvail": "there is no power for its nodes now",
    "PowerReserved": "the power for its nodes is reserved",
    "Priority": "other jobs come first",
    "Prolog": "its nodes are being prepared",
    "RaisedSignal": "a signal ended it",
    "ReqNodeNotAvail": "nodes that it needs are down or reserved",
    "Reservation": "its reservation has not begun",
    "ReservationDeleted": "its reservation was deleted",
    "ReservationInvalid": "there is no such reservation",
    "Resources": "no free nodes for it yet",
    "SchedDefer": "it asked to start at once or not at all",
    "SystemFailure": "Slurm or a node failed",
    "TimeLimit": "the time limit was reached",
}
_SENTENCES = {
    "Nodes required for job are DOWN": "nodes that it needs are down, drained or taken by jobs that come first",
    "launch failed requeued held": "it could not be started on its nodes, and is held: scontrol release",
    "user env retrieval failed requeued held": "its user's environment could not be read, and it is held",
    "job requeued in held state": "held after it was requeued: scontrol release",
    "Reserved for maintenance": "its nodes are reserved for maintenance",
}
_LIMITS = ("QOS", "Assoc", "Max")

PASSING = (
    "Priority",
    "Resources",
    "BeginTime",
    "Dependency",
    "JobHeldUser",
    "JobHeldAdmin",
    "Licenses",
    "Reservation",
)
"""What a job only waits for. Slurm goes on telling it of one that was cancelled meanwhile."""


def reason_in_words(reason: str) -> str:
    """Return Slurm's reason for a job's state in plain words; one that is not known, as Slurm writes it."""
    code, _, more = reason.strip("() ").partition(",")
    more = more.replace("_", " ").strip()
    if code in _REASONS:
        return _SENTENCES.get(more) or _REASONS[code]
    sentence = code.replace("_", " ")
    if sentence in _SENTENCES:
        return _SENTENCES[sentence]
    if code.startswith(_LIMITS):
        return f"a limit of the account is reached ({code})"
    return code
