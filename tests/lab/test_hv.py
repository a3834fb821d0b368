# SPDX-License-Identifier: BSD-2-Clause
"""Parts of Tern alone on an emulated machine (tests/bare), and the emulator's nested walk with them."""
import re
import subprocess
import time

import pytest
from lablib import BUILD

QEMU = ("qemu-system-x86_64", "-accel", "tcg", "-m", "256M", "-nographic", "-nodefaults", "-serial", "stdio",
        "-no-reboot")


def lines_until_done(image, cpu, cpus, seconds=60):
    """What the test prints, up to its last line."""
    command = QEMU + ("-kernel", str(BUILD / "bare" / image), "-cpu", cpu, "-smp", str(cpus))
    with subprocess.Popen(("timeout", str(seconds)) + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, errors="replace") as process:
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("DONE "):
                break
        process.terminate()
    return lines


def lines_in_bochs(lab, image, vendor, cpus, seconds=300):
    """The same in Bochs."""
    lab.boot_core(vendor, f"bare/{image}", cpus)
    end = time.monotonic() + seconds
    done = None
    while not done and lab.host(1).is_alive() and time.monotonic() < end:
        time.sleep(0.2)
        done = re.search(r"(?m)^DONE .*\n", lab.host(1).log())     # Tern's shell comes after it
    return [line.strip() for line in lab.host(1).log()[:done.end() if done else None].splitlines()]


def check_passed(lines):
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert lines and lines[-1].startswith("DONE ") and lines[-1].endswith(" 0"), "\n".join(lines[-20:])


@pytest.mark.parametrize("cpu,cpus", (("EPYC,+svm,+npt", 1), ("EPYC,+svm,+npt", 2), ("max", 1)))
def test_back_end(cpu, cpus):
    lines = lines_until_done("hv.elf", cpu, cpus)
    check_passed(lines)
    assert "PASS pages 3 and 5 written, 4 only read" in lines


@pytest.mark.parametrize("cpus", (1, 2))
def test_dirty_tracking(cpus):
    """Every method that the CPU has, against an oracle: tests/bare/dirty.c."""
    lines = lines_until_done("dirty.elf", "EPYC,+svm,+npt", cpus, 300)
    check_passed(lines)
    assert "NOTE log: this CPU has it not" in lines
    for method in ("bits", "protect"):
        assert f"PASS {method}: no written page is missed" in lines
        assert f"PASS {method}: 10^6 looks at a page and more" in lines


# Not on Bochs' AMD-V: this test single-steps its guest, which ends that emulator (tests/lab/differences.txt).
@pytest.mark.parametrize("vendor,cpus", (("intel", 1), ("intel", 2)))
def test_back_end_in_bochs(lab, vendor, cpus):
    lines = lines_in_bochs(lab, "hv.elf", vendor, cpus)
    check_passed(lines)
    assert "PASS pages 3 and 5 written, 4 only read" in lines


def test_dirty_tracking_in_bochs(lab):
    """The hardware's log too, which no other emulator has."""
    lines = lines_in_bochs(lab, "dirty.elf", "intel", 1, 900)
    check_passed(lines)
    for method in ("log", "bits", "protect"):
        assert f"PASS {method}: no written page is missed" in lines
    assert "PASS log: at most an exit for 256 dirtied pages" in lines
