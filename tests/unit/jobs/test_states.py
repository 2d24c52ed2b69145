"""What Slurm and the run's own record say, as one Status in plain words."""

from __future__ import annotations

import pytest

from pcinfra.jobs.follow import in_words
from pcinfra.jobs.launcher import State, Status
from pcinfra.jobs.slurm.reasons import reason_in_words
from pcinfra.jobs.slurm.states import status, together

DONE = '{"job":"5","attempt":0,"exit_code":0,"verdict":"done","nodes":"n[1-2]","ended":"2026-01-01T00:00:00Z"}'
SEVEN = DONE.replace('"exit_code":0,"verdict":"done"', '"exit_code":7,"verdict":"failed"')
STOPPED = DONE.replace('"exit_code":0,"verdict":"done"', '"exit_code":143,"verdict":"stopped"')
LATE = DONE.replace('"exit_code":0,"verdict":"done"', '"exit_code":143,"verdict":"timeout"')
KILLED = DONE.replace('"exit_code":0,"verdict":"done"', '"exit_code":137,"verdict":"failed"')
AGAIN = DONE.replace('"exit_code":0,"verdict":"done"', '"exit_code":75,"verdict":"stopped","requeued":true')
NEW_WORD = DONE.replace('"exit_code":0,"verdict":"done"', '"exit_code":9,"verdict":"unheard-of"')
TO_GO_ON = "lost: it was to be requeued, and Slurm has forgotten it"
PREEMPTED = "lost: another job took its nodes"
OURS = {"cancelled": "yes"}
CANCELLED = "cancelled: by Slurm, or with scancel"
FORGOTTEN = "lost: it left no result, and Slurm has forgotten it, exit code 137"

CASES = [
    ({"asked": "0", "slurm": "PENDING|Resources|"}, "waiting: no free nodes for it yet", None),
    ({"asked": "0", "slurm": "PENDING|None|"}, "waiting", None),
    ({"asked": "0", "slurm": "PENDING|(Priority)|"}, "waiting: other jobs come first", None),
    ({"asked": "0", "slurm": "CONFIGURING|None|n1"}, "starting on n1", None),
    ({"asked": "0", "slurm": "RUNNING|None|n[1-2]"}, "running on n[1-2]", None),
    ({"asked": "0", "slurm": "COMPLETING|None|n1", "result": DONE}, "ending", None),
    ({"asked": "0", "slurm": "COMPLETED|None|n1", "result": DONE}, "done", 0),
    ({"asked": "0", "slurm": "", "result": DONE}, "done", 0),
    ({"asked": "0", "slurm": "FAILED|NonZeroExitCode|n1", "result": SEVEN}, "failed, exit code 7", 7),
    ({"asked": "0", "slurm": "", "result": LATE}, "timeout: the time limit was reached, exit code 143", 143),
    ({"asked": "1", "slurm": "", "result": SEVEN}, "failed, exit code 7", 7),
    ({"asked": "1", "slurm": ""}, "unknown: slurmctld does not answer", None),
    ({"asked": "124", "slurm": ""}, "unknown: slurmctld does not answer", None),
    ({"asked": "0", "slurm": "CANCELLED|None|"}, f"{CANCELLED}, exit code 143", 143),
    ({"asked": "0", "slurm": "CANCELLED|None|n1", "result": STOPPED}, f"{CANCELLED}, exit code 143", 143),
    ({"asked": "0", "slurm": "CANCELLED|None|n1", "result": STOPPED, **OURS}, "cancelled, exit code 143", 143),
    ({"asked": "0", "slurm": "NODE_FAIL|None|n1", "result": STOPPED}, "lost: a node failed, exit code 143", 143),
    ({"asked": "0", "kept": "PREEMPTED|x|n1", "result": STOPPED}, f"{PREEMPTED}, exit code 143", 143),
    ({"asked": "0", "slurm": "NODE_FAIL|None|n1", "result": SEVEN}, "lost: a node failed, exit code 7", 7),
    ({"asked": "0", "slurm": "TIMEOUT|x|n1", "result": SEVEN}, "timeout: the time limit was reached, exit code 7", 7),
    ({"asked": "0", "slurm": "CANCELLED|x|n1", "result": DONE, **OURS}, "done", 0),
    ({"asked": "0", "slurm": "CANCELLED|None|n1", "result": SEVEN}, "failed, exit code 7", 7),
    ({"asked": "0", "slurm": "CANCELLED|None|n1", "result": SEVEN, **OURS}, "cancelled, exit code 7", 7),
    ({"asked": "0", "slurm": "CANCELLED|None|n1", "result": KILLED}, f"{CANCELLED}, exit code 137", 137),
    ({"asked": "0", "slurm": "", "result": STOPPED}, f"{CANCELLED}, exit code 143", 143),
    ({"asked": "0", "slurm": "", "result": STOPPED, **OURS}, "cancelled, exit code 143", 143),
    ({"asked": "0", "slurm": "", **OURS}, "cancelled, exit code 143", 143),
    ({"asked": "0", "slurm": "CANCELLED|Resources|", **OURS}, "cancelled, exit code 143", 143),
    ({"asked": "0", "kept": "CANCELLED|(Priority)|", **OURS}, "cancelled, exit code 143", 143),
    ({"asked": "0", "slurm": "NODE_FAIL|None|n1"}, "lost: a node failed, exit code 137", 137),
    ({"asked": "0", "slurm": "", "kept": "NODE_FAIL|None|n1"}, "lost: a node failed, exit code 137", 137),
    ({"asked": "0", "slurm": "OUT_OF_MEMORY|OutOfMemory|n1"}, "failed: out of memory, exit code 1", 1),
    ({"asked": "0", "slurm": "COMPLETED|None|n1"}, "done", 0),
    ({"asked": "0", "slurm": "TIMEOUT|TimeLimit|n1"}, "timeout: the time limit was reached, exit code 137", 137),
    ({"asked": "0", "slurm": ""}, FORGOTTEN, 137),
    ({"asked": "0", "slurm": "", "result": '{"job":"5","exi'}, FORGOTTEN, 137),
    ({"asked": "1", "slurm": "", "result": STOPPED}, "unknown: slurmctld does not answer", None),
    ({"asked": "1", "slurm": "", "result": AGAIN}, "unknown: slurmctld does not answer", None),
    ({"asked": "0", "slurm": "PENDING|None|", "result": AGAIN}, "waiting", None),
    ({"asked": "0", "slurm": "", "result": AGAIN}, f"{TO_GO_ON}, exit code 75", 75),
    ({"asked": "0", "slurm": "NODE_FAIL|None|n1", "result": NEW_WORD}, "lost: a node failed, exit code 9", 9),
    ({"asked": "0", "slurm": "", "result": DONE.replace('"exit_code":0', '"exit_code":"x"')}, FORGOTTEN, 137),
    ({"asked": "0", "slurm": "", "result": "[" * 100_000}, FORGOTTEN, 137),
    ({"asked": "0", "slurm": "NEVER_HEARD_OF|None|n1"}, "unknown", None),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "words", "code"), CASES)
def test_is_said_in_plain_words(fields: dict[str, str], words: str, code: int | None) -> None:
    found = status("x-1", "5", fields)
    assert (in_words(found), found.exit_code) == (words, code)
    assert found.state.ended == (code is not None)


def test_nodes_of_a_forgotten_run_are_still_known() -> None:
    assert status("x-1", "5", {"asked": "0", "slurm": "", "result": DONE}) == Status(
        "x-1", State.DONE, "5", "", "n[1-2]", 0
    )


def test_a_reason_that_is_not_known_is_shown_as_slurm_writes_it() -> None:
    assert reason_in_words("SomethingNew") == "SomethingNew"
    assert reason_in_words("QOSMaxGRESPerUser") == "a limit of the account is reached (QOSMaxGRESPerUser)"
    assert reason_in_words("ReqNodeNotAvail, UnavailableNodes:n1") == "nodes that it needs are down or reserved"


# Slurm's own list, as of 25.11; 22.05 has no other ones.
REASONS = [
    "AccountNotAllowed", "AccountingPolicy", "AssocGrpBB", "AssocGrpBBMinutes", "AssocGrpBilling",
    "AssocGrpCPUMinutesLimit", "AssocGrpCPURunMinutesLimit", "AssocGrpCpuLimit", "AssocGrpEnergy", "AssocGrpGRES",
    "AssocGrpGRESMinutes", "AssocGrpGRESRunMinutes", "AssocGrpJobsLimit", "AssocGrpLicense", "AssocGrpMemLimit",
    "AssocGrpNodeLimit", "AssocGrpSubmitJobsLimit", "AssocGrpUnknown", "AssocGrpWallLimit", "AssocMaxBBPerJob",
    "AssocMaxBillingPerJob", "AssocMaxCpuMinutesPerJobLimit", "AssocMaxCpuPerJobLimit", "AssocMaxCpuPerNode",
    "AssocMaxEnergyPerJob", "AssocMaxGRESPerJob", "AssocMaxJobsLimit", "AssocMaxMemPerNode",
    "AssocMaxNodePerJobLimit", "AssocMaxSubmitJobLimit", "AssocMaxWallDurationPerJobLimit", "AssociationJobLimit",
    "AssociationResourceLimit", "AssociationTimeLimit", "BadConstraints", "BeginTime", "BurstBufferOperation",
    "BurstBufferResources", "BurstBufferStageIn", "Cleaning", "Constraints", "DeadLine", "Dependency",
    "DependencyNeverSatisfied", "FedJobLock", "FrontEndDown", "InactiveLimit", "InvalidAccount", "InvalidQOS",
    "JobArrayTaskLimit", "JobHeldAdmin", "JobHeldUser", "JobHoldMaxRequeue", "JobLaunchFailure", "Licenses",
    "MaxBBPerAccount", "MaxBillingPerAccount", "MaxCpuPerAccount", "MaxEnergyPerAccount", "MaxGRESPerAccount",
    "MaxJobsPerAccount", "MaxLicensePerAccount", "MaxMemPerLimit", "MaxMemoryPerAccount", "MaxNodePerAccount",
    "MaxSubmitJobsPerAccount", "MaxUnknownPerAccount", "NodeDown", "OutOfMemory", "PartitionConfig",
    "PartitionDown", "PartitionInactive", "PartitionNodeLimit", "PartitionTimeLimit", "PowerNotAvail",
    "PowerReserved", "Priority", "Prolog", "QOSGrpBB", "QOSGrpBilling", "QOSGrpCPUMinutesLimit", "QOSGrpCpuLimit",
    "QOSGrpGRES", "QOSGrpJobsLimit", "QOSGrpMemLimit", "QOSGrpNodeLimit", "QOSGrpWallLimit", "QOSJobLimit",
    "QOSMaxBillingPerJob", "QOSMaxCpuPerJobLimit", "QOSMaxCpuPerUserLimit", "QOSMaxGRESPerUser",
    "QOSMaxJobsPerUserLimit", "QOSMaxMemoryPerJob", "QOSMaxNodePerJobLimit", "QOSMaxSubmitJobPerUserLimit",
    "QOSMaxWallDurationPerJobLimit", "QOSMinCpuNotSatisfied", "QOSMinGRES", "QOSNotAllowed", "QOSResourceLimit",
    "QOSTimeLimit", "QOSUsageThreshold", "RaisedSignal", "ReqNodeNotAvail", "Reservation", "ReservationDeleted",
    "ReservationInvalid", "Resources", "SchedDefer", "SystemFailure", "TimeLimit",
]  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_slurm_is_said_in_plain_words(reason: str) -> None:
    words = reason_in_words(reason)
    assert " " in words
    assert status("x", "5", {"asked": "0", "slurm": f"PENDING|({reason})|"}).why == words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("ReqNodeNotAvail, UnavailableNodes:n[1-2]", "nodes that it needs are down or reserved"),
        ("ReqNodeNotAvail, Reserved for maintenance", "its nodes are reserved for maintenance"),
        ("ReqNodeNotAvail,_Reserved_for_maintenance", "its nodes are reserved for maintenance"),
        ("Nodes required for job are DOWN, DRAINED or reserved", "nodes that it needs are down, drained"),
        ("Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved", "nodes that it needs are down, drained"),
        ("launch failed requeued held", "it could not be started on its nodes"),
        ("(launch_failed_requeued_held)", "it could not be started on its nodes"),
        ("", ""),
    ],
)
def test_the_sentences_of_slurmctld_too(reason: str, words: str) -> None:
    assert reason_in_words(reason).startswith(words)


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (["PENDING|Resources|", "RUNNING|None|n1", "RUNNING|None|n2", "RUNNING|None|n1"], "RUNNING|None|n1,n2"),
        (["PENDING|JobArrayTaskLimit|", "COMPLETED|None|n1"], "PENDING|JobArrayTaskLimit|"),
        (["COMPLETED|None|n1", "FAILED|NonZeroExitCode|n2", "COMPLETED|None|n3"], "FAILED|NonZeroExitCode|n2"),
        (["COMPLETED|None|n1", "COMPLETED|None|n2"], "COMPLETED|None|n1,n2"),
        (["COMPLETING|None|n1", "COMPLETED|None|n2"], "COMPLETING|None|n1"),
    ],
)
def test_the_tasks_of_an_array_are_one(lines: list[str], line: str) -> None:
    assert together(lines) == line
