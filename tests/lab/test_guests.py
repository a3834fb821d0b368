# SPDX-License-Identifier: BSD-2-Clause
"""
The tiny guests of tests/guest, one fact each, on every kind of machine that there is: each fact
must hold, and the same facts on all of them, but for what tests/lab/differences.txt explains.
"""
import functools
import tempfile
import time
from pathlib import Path

import pytest
from conftest import GUEST, LabUnderTest
from watch import Watch

NAMES = sorted(path.stem for path in GUEST.glob("t_*.elf"))
DIFFERENCES = Path(__file__).with_name("differences.txt")

# Name of a machine: how the lab starts it.
MACHINES = {
    "qemu": {"cpu": "amd", "boot": "pvh", "cpus": 1},
    "qemu-smp": {"cpu": "amd", "boot": "pvh", "cpus": 2},
    "intel": {"cpu": "intel", "cpus": 1},
    "intel-smp": {"cpu": "intel", "cpus": 2},
    "ryzen": {"cpu": "ryzen", "cpus": 1},
}


def differences(machine):
    """{(guest, fact)} that may differ there; the fact * means that the guest is not started."""
    found = set()
    for line in DIFFERENCES.read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        where, guest, fact, why = (part.strip() for part in line.split("|"))
        assert guest in NAMES and where in MACHINES and fact and why, f"differences.txt: {line}"
        if where == machine:
            found.add((guest, fact))
    return found


def wait_until_stopped(lab, seconds):
    end = time.monotonic() + seconds
    while lab.state(1, "tiny") != "stopped" and time.monotonic() < end:
        time.sleep(0.05)
    return lab.state(1, "tiny") == "stopped"


def run_guest(lab, watch, name):
    """What the guest says, a list of lines; what it does not say is put as if it had."""
    mark = time.monotonic()
    lab.create(name="tiny", mem="64M", kernel=name, initrd="", vcpus=2 if name == "t_smp" else 1)
    lab.host(1).run("vm start tiny")
    if name == "t_triple":
        lines = ["PASS stopped" if wait_until_stopped(lab, 60) else "FAIL stopped: it runs"]
    else:
        watch.wait(rb"^DONE .*\n", 120, since=mark)
        lines = watch.text(since=mark).decode(errors="replace").splitlines()
    lab.host(1).run("vm destroy tiny --yes")
    return [line for line in lines if line.split(" ")[0] in ("PASS", "FAIL")] or ["FAIL it proved nothing"]


@functools.cache
def results(machine):
    """{guest: what it said}, of all guests, on one start of the machine."""
    assert NAMES, "no build/guest/t_*.elf: run make"
    skipped = {guest for guest, fact in differences(machine) if fact == "*"}
    with tempfile.TemporaryDirectory(prefix="tern-", dir="/tmp") as folder, LabUnderTest(folder) as lab:
        lab.up(hosts=1, mem="512M", files={name: GUEST / f"{name}.elf" for name in NAMES}, **MACHINES[machine])
        watch = Watch(lab.hosts)
        lab.watches.append(watch)
        return {name: run_guest(lab, watch, name) for name in NAMES if name not in skipped}


def facts(machine, word):
    """{(guest, fact)} that begin with PASS or FAIL there. A failed fact has its reason behind a colon."""
    return {(guest, line.split(" ", 1)[1].split(":" if word == "FAIL" else "\n")[0])
            for guest, lines in results(machine).items() for line in lines if line.startswith(word)}


@pytest.mark.parametrize("machine", MACHINES)
def test_guest_facts(machine):
    explained = differences(machine)
    failed = [f"{guest}: {line}" for guest, lines in results(machine).items() for line in lines
              if line.startswith("FAIL") and not any(guest == g and line[5:].startswith(fact) for g, fact in explained)]
    assert failed == []


@pytest.mark.parametrize("machine", [name for name in MACHINES if name != "qemu"])
def test_the_same_facts_everywhere(machine):
    """No fact is left out somewhere, and none holds in one place only, unless the list says why."""
    explained = differences(machine)
    skipped = {guest for guest, fact in explained if fact == "*"}
    here = {fact for fact in facts(machine, "PASS") if fact not in explained}
    there = {fact for fact in facts("qemu", "PASS") if fact not in explained and fact[0] not in skipped}
    assert (sorted(there - here), sorted(here - there)) == ([], [])
