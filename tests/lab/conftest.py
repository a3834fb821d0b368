# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the lab tests: a lab in a folder of its own that is always taken down.

LAB_CPUS=4 gives each host so many CPUs, in tests that do not say how many they want.
"""
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "tests/lab"))
sys.dont_write_bytecode = True
from lablib import BUILD, Lab  # noqa: E402
from watch import Watch  # noqa: E402

GUEST = BUILD / "guest"
GUEST_FILES = {"vmlinuz": GUEST / "vmlinuz", "initrd": GUEST / "initramfs.cpio.gz"}


class LabUnderTest(Lab):
    """A lab with shortcuts that many tests want."""

    def __init__(self, directory):
        super().__init__(directory)
        self.watches = []

    def up(self, **options):
        """As Lab.up; a host whose self-test failed is no ground for any test."""
        super().up(**{"cpus": int(os.environ.get("LAB_CPUS", 1)), **options})
        failed = [host.name for host in self.hosts if "error: self-test" in host.log()]
        assert not failed, f"the self-test failed on {failed}"
        return self

    def create(self, host=1, name="web1", mem="256M", cmdline="", kernel="vmlinuz", initrd="initrd", console="com2",
               vcpus=1):
        line = f"vm create {name} kernel={kernel} mem={mem} vcpus={vcpus}"
        if initrd:
            line += f" initrd={initrd}"
        if console:
            line += f" console={console}"
        self.host(host).run(f'{line} cmdline="console=ttyS0 quiet {cmdline}"')

    def start_pulse(self, mem="256M", mib=16, rate=0, name="web1", host=1):
        """A Linux guest that pulses on com2; returns the observer once it is filled and pulsing."""
        watch = Watch(self.hosts)
        self.watches.append(watch)
        self.create(host, name, mem, f"run=pulse mib={mib} rate={rate}")
        self.host(host).run(f"vm start {name}")
        watch.wait(rb"^P 20 ", 90)
        return watch

    def state(self, host, name="web1"):
        """State of a VM there, or None if it has none of the name."""
        for vm in self.host(host).json("vm list")["vms"]:
            if vm["name"] == name:
                return vm["state"]
        return None

    def down(self):
        for watch in self.watches:
            watch.close()
        super().down()


@pytest.fixture
def lab(request):
    """A lab that is not up yet. If the test fails, the hosts' last words are printed."""
    folder = Path(tempfile.mkdtemp(prefix="tern-", dir="/tmp"))
    made = LabUnderTest(folder)
    yield made
    report = getattr(request.node, "report_call", None)
    if report is not None and report.failed:
        for host in made.hosts:
            print(f"--- {host.name}: the end of its log\n" + "\n".join(host.log().splitlines()[-40:]))
    made.down()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.report_call = outcome.get_result()
