# SPDX-License-Identifier: BSD-2-Clause
"""The tiny guests of tests/guest, one fact each: every line they print must say PASS."""
import time

import pytest
from conftest import GUEST
from watch import Watch

NAMES = sorted(path.stem for path in GUEST.glob("t_*.elf"))


@pytest.mark.parametrize("cpus", (1, 2))
def test_guest_facts(lab, cpus):
    assert NAMES, "no build/guest/t_*.elf: run make"
    lab.up(hosts=1, boot="pvh", mem="1G", cpus=cpus, files={name: GUEST / f"{name}.elf" for name in NAMES})
    watch = Watch(lab.hosts)
    lab.watches.append(watch)
    failures = []
    for name in NAMES:
        mark = time.monotonic()
        lab.create(name="tiny", mem="64M", kernel=name, initrd="", vcpus=2 if name == "t_smp" else 1)
        lab.host(1).run("vm start tiny")
        if name == "t_triple":
            end = time.monotonic() + 20
            while lab.state(1, "tiny") != "stopped" and time.monotonic() < end:
                time.sleep(0.05)
            if lab.state(1, "tiny") != "stopped":
                failures.append(f"{name}: was not stopped")
        else:
            watch.wait(rb"^DONE", 30, since=mark)
            lines = watch.text(since=mark).decode(errors="replace").splitlines()
            failures += [f"{name}: {line}" for line in lines if line.startswith("FAIL")]
            if not any(line.startswith("PASS") for line in lines):
                failures.append(f"{name}: proved nothing")
        lab.host(1).run("vm destroy tiny --yes")
    assert failures == []
