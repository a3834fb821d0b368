# SPDX-License-Identifier: BSD-2-Clause
"""An unmodified Debian kernel runs: it is content with its machine, sleeps when idle, ends and restarts."""
import re
import time

import pytest
from conftest import GUEST_FILES
from watch import Watch, check_pulses


def boot_report(lab, mem, host_mem, boot="pvh", cpus=1):
    lab.up(hosts=1, boot=boot, mem=host_mem, cpus=cpus, files=GUEST_FILES)
    watch = Watch(lab.hosts)
    lab.watches.append(watch)
    lab.create(mem=mem, cmdline="run=report")
    lab.host(1).run("vm start web1")
    watch.wait(rb"INTERRUPTS END", 90)
    return watch.text().decode(errors="replace").replace("\r", "")


def test_linux_is_content_and_powers_off(lab):
    text = boot_report(lab, "256M", "1G")
    assert "CLOCKSOURCE kvm-clock" in text or "CLOCKSOURCE tsc" in text
    assert "CPUS 1\n" in text
    warnings = text.split("WARNINGS BEGIN\n")[1].split("WARNINGS END")[0]
    # What this kernel says on real machines, too.
    known = re.compile(r"RETBleed|Speculative|SRBDS|MDS CPU bug|TAA|MMIO Stale|Spectre|spectre|Failed to .*microcode"
                       r"|PCI: (Fatal: No config space|System does not support PCI)"  # true: this machine has no PCI bus
                       r"|Mitigation|VMSCAPE|GDS|rtc_cmos.*|random: |process '.*' started with executable stack")
    ours = [line for line in warnings.splitlines() if not known.search(line)]
    assert ours == []
    end = time.monotonic() + 20
    while lab.state(1) != "stopped" and time.monotonic() < end:
        time.sleep(0.1)
    assert lab.state(1) == "stopped"
    assert "powered off" in lab.host(1).run("vm show web1")


@pytest.mark.parametrize("mem, host_mem", (("72M", "512M"), ("1G", "2G"), ("4G", "6G")))
def test_memory_sizes(lab, mem, host_mem):
    text = boot_report(lab, mem, host_mem)
    kib = int(re.search(r"MEMTOTAL MemTotal: +(\d+) kB", text)[1])
    wanted = int(mem[:-1]) * (2**20 if mem[-1] == "G" else 2**10)
    # The kernel keeps for itself its image (Debian 13's: 40 MiB) and a share for its page structures.
    assert wanted * 0.95 - 48 * 2**10 < kib <= wanted


def test_reboot_starts_again(lab):
    lab.up(hosts=1, boot="pvh", mem="1G", files=GUEST_FILES)
    watch = Watch(lab.hosts)
    lab.watches.append(watch)
    lab.create(cmdline="run=reboot")
    lab.host(1).run("vm start web1")
    watch.wait(rb"(?s)GUEST UP.*GUEST UP", 120)
    lab.host(1).run("vm destroy web1 --yes")
    assert lab.state(1) is None


def test_power_button_pause_and_resume(lab):
    lab.up(hosts=1, boot="pvh", mem="1G", files=GUEST_FILES)
    watch = lab.start_pulse()
    lab.host(1).run("vm pause web1")
    time.sleep(0.3)
    quiet = len(watch.text())
    time.sleep(1.0)
    assert len(watch.text()) == quiet
    lab.host(1).run("vm resume web1")
    time.sleep(1.0)
    pulses = watch.pulses()
    check_pulses(pulses)
    # The operator's pause stops the guest's time: no stall of a second is seen inside.
    assert max(pulse[4] for pulse in pulses) < 900_000
    assert pulses[-1][0] - pulses[0][0] > (pulses[-1][3] - pulses[0][3]) / 1e6 + 0.9


@pytest.mark.parametrize("cpus", (1, 2))
def test_an_idle_guest_does_not_burn_the_host(lab, cpus):
    lab.up(hosts=1, boot="pvh", mem="1G", cpus=cpus, files=GUEST_FILES)
    watch = Watch(lab.hosts)
    lab.watches.append(watch)
    lab.create(cmdline="run=shell")
    lab.host(1).run("vm start web1")
    watch.wait(rb"# ", 90)
    time.sleep(2)

    def cpu_seconds():
        with open(f"/proc/{lab.host(1).pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    before = cpu_seconds()
    time.sleep(3)
    assert cpu_seconds() - before < 1.0


def test_several_guests_and_the_console(lab):
    lab.up(hosts=1, boot="pvh", mem="2G", cpus=2, files=GUEST_FILES)
    watch = Watch(lab.hosts)
    lab.watches.append(watch)
    lab.create(name="one", cmdline="run=shell")
    lab.create(name="two", cmdline="run=shell", console="")
    lab.create(name="three", cmdline="run=shell", console="", mem="72M")
    for name in ("one", "two", "three"):
        lab.host(1).run(f"vm start {name}")
    watch.wait(rb"# ", 90)
    console = lab.host(1).console()
    console.send(b"vm console two\r")
    console.read_until(rb"Ctrl-\]", 20)
    console.read_until(rb"# ", 90)
    console.send(b"echo $((6*7))-from-two\r")
    console.read_until(rb"\n42-from-two", 30)
    console.send(b"\x1d")
    console.read_until(rb"tern:host1> $", 20)
    console.close()
    assert b"from-two" not in watch.text()
    assert {vm["state"] for vm in lab.host(1).json("vm list")["vms"]} == {"running"}
