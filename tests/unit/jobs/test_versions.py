"""What programs of Slurm 22.05 to 25.11 print of nodes and settings, read by the scripts that read it.

22.05 was asked. The others are made by hand after what is published, with other names and numbers: of nodes after an
output of 25.05 in the recipes for AWS PCS, with fields that other releases have besides; of settings after one in
Oracle's HPC tutorials, where Epilog is numbered. None of these releases was asked.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import pcinfra.jobs.slurm.render as slurm

SCRIPTS = Path(slurm.__file__).parent / "scripts"

NODES = {
    "22.05": "NodeName=q-st-p5-1 Arch=x86_64 CoresPerSocket=1    CPUAlloc=0 CPUEfctv=4 CPUTot=4 CPULoad=0.31    "
    "AvailableFeatures=static    ActiveFeatures=static    Gres=gpu:h100:8    NodeAddr=10.1.0.17 "
    "NodeHostName=q-st-p5-1 Version=22.05.8    OS=Linux 6.1.0    RealMemory=16000 State=IDLE ThreadsPerCore=1 ",
    "23.11": "NodeName=q-st-p5-1 Arch=x86_64 CoresPerSocket=96    CPUAlloc=0 CPUEfctv=192 CPUTot=192 CPULoad=0.02    "
    "AvailableFeatures=static,p5    ActiveFeatures=static,p5    Gres=gpu:h100:8(S:0-1)    NodeAddr=10.1.0.17 "
    "NodeHostName=q-st-p5-1 Version=23.11.10    OS=Linux 5.15.0-1050-aws #1 SMP    State=IDLE+CLOUD "
    "ExtSensorsJoules=n/a ExtSensorsWatts=0 ExtSensorsTemp=n/a ",
    "24.11": "NodeName=q-st-p5-1 Arch=x86_64 CoresPerSocket=96    CPUAlloc=192 CPUEfctv=192 CPUTot=192 CPULoad=N/A    "
    "Gres=gpu:h100:8    NodeAddr=10.1.0.17 NodeHostName=ip-10-1-0-17 Port=6818 Version=24.11.5    "
    'State=ALLOCATED+CLOUD    Extra={"NodeAddr":"none"}    Comment=one NodeAddr only ',
    "25.05": "NodeName=q-st-p5-1 Arch=x86_64 CoresPerSocket=96    CPUAlloc=0 CPUEfctv=192 CPUTot=192 CPULoad=0.00    "
    "Gres=(null)    NodeAddr=10.1.0.17 NodeHostName=ip-10-1-0-17 Version=25.05.5    State=IDLE+CLOUD    "
    "LastBusyTime=2026-07-08T19:33:25 ResumeAfterTime=None    InstanceId=i-0a1b2c3d4e5f60718 "
    "InstanceType=p5.48xlarge ",
    "25.11": "NodeName=q-st-p5-1 Arch=x86_64 CoresPerSocket=96    CPUAlloc=0 CPUEfctv=192 CPUTot=192 CPULoad=0.00    "
    "Gres=gpu:h100:8    NodeAddr=10.1.0.17 NodeHostName=ip-10-1-0-17 Version=25.11.8    "
    "State=IDLE+CLOUD+DYNAMIC_NORM    Topology=default:s1    ResumeAfterTime=None ",
}
SETTINGS = {
    "22.05": "Epilog                  = (null)\nEpilogMsgTime           = 2000 usec\nEpilogSlurmctld         = /x/y\n"
    "MaxArraySize            = 1001\n",
    "23.11": "Epilog                  = /opt/slurm/etc/scripts/epilog.d/*\nEpilogMsgTime           = 2000 usec\n"
    "MaxArraySize            = 20001\n",
    "24.11": "Epilog[0]               = /opt/slurm/etc/scripts/epilog.d/*\nEpilogMsgTime           = 2000 usec\n"
    "EpilogTimeout           = 65534\nMaxArraySize            = 1001\n",
    "25.11": "Epilog[0]               = /opt/slurm/etc/scripts/epilog.d/*\nEpilog[1]               = /etc/more.sh\n"
    "EpilogSlurmctld[0]      = /x/y\nMaxArraySize            = 1001\n",
}


def asked(place: Path, script: str, text: str, function: str) -> str:
    """Return what a function of a script prints where scontrol prints ``text``."""
    (place / "scontrol").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    (place / "scontrol").chmod(0o755)
    name = function.partition(" ")[0]
    lines = (SCRIPTS / f"{script}.sh").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name}() {{"))
    end = start if lines[start].endswith("}") else lines.index("}", start)
    body = "\n".join(lines[start : end + 1])
    environment = {"PATH": f"{place}:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-uc", f"{body}\n{function}"], env=environment, capture_output=True, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize("version", NODES)
def test_the_address_of_a_node(version: str, tmp_path: Path) -> None:
    assert asked(tmp_path, "batch", NODES[version], "address_of q-st-p5-1") == "10.1.0.17\n"


def test_a_node_that_slurm_does_not_know_is_its_name(tmp_path: Path) -> None:
    assert asked(tmp_path, "batch", "Node q-st-p5-9 not found", "address_of q-st-p5-9") == "q-st-p5-9\n"


@pytest.mark.parametrize("version", SETTINGS)
def test_whether_there_is_an_epilog(version: str, tmp_path: Path) -> None:
    found = asked(tmp_path, "gate", SETTINGS[version], "epilogs").split()
    expected = {"22.05": [], "25.11": ["/opt/slurm/etc/scripts/epilog.d/*", "/etc/more.sh"]}
    assert found == expected.get(version, ["/opt/slurm/etc/scripts/epilog.d/*"])
