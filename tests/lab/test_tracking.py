# SPDX-License-Identifier: BSD-2-Clause
"""Written pages are found by any method, and large pages are large again after whatever became of a move."""
import time

import pytest
from conftest import GUEST_FILES
from test_failures import detached, ended, still_whole
from test_move import check_receipt, move


def pages(lab, host):
    """How the guest's memory is mapped there: pages of 1 GiB, 2 MiB and 4 KiB, and tables."""
    show = lab.host(host).json("vm show web1")
    return [show[key] for key in ("huge_pages", "large_pages", "small_pages", "table_pages")]


def settled_pages(lab, host, wanted):
    """The same, or wanted as soon as it is so: the end of a move takes a moment."""
    end = time.monotonic() + 10
    while (now := pages(lab, host)) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    return now


@pytest.mark.parametrize("method, cpus", (("bits", 2), ("protect", 1), ("protect", 2)))
def test_methods(lab, method, cpus):
    lab.up(boot="pvh", mem="1G", cpus=cpus, files=GUEST_FILES, conf=f"[host]\ndirty_tracking={method}\n")
    assert lab.host(1).json("host cpu")["dirty_tracking"] == {"method": method, "why": "as tern.conf says"}
    watch = lab.start_pulse(mib=32, rate=200)
    before = pages(lab, 1)
    assert before[:3] == [0, 128, 0]

    detached(lab)
    assert pages(lab, 1)[2] > 0
    lab.host(1).run("migrate cancel web1")
    assert ended(lab)["result"] == "cancelled"
    assert settled_pages(lab, 1, before) == before

    for source, target in ((1, 2), (2, 1)):
        move(lab, source, target, "stun=1s")
        assert settled_pages(lab, target, before) == before
        receipt = lab.host(source).json("migrate receipt")
        check_receipt(receipt)
        dirty = sum(each["dirty_pages"] for each in receipt["rounds"])
        assert receipt["tracking"] == method and receipt["entries_scanned"] > 0 and receipt["log_entries"] == 0
        assert receipt["tracking_exits"] == 0 if method == "bits" else 0 < receipt["tracking_exits"] <= 2 * dirty + 10000
    still_whole(lab, watch)
    show = lab.host(1).json("vm show web1")
    assert show["split_count"] == show["merge_count"] == 0      # it has just arrived, and never was small here

    detached(lab)
    lab.host(2).kill()
    assert ended(lab)["result"] == "failed"
    assert settled_pages(lab, 1, before) == before
    show = lab.host(1).json("vm show web1")
    assert show["split_count"] == show["merge_count"] > 0
    still_whole(lab, watch)


def test_a_page_of_a_gib_is_cut_and_made_whole(lab):
    lab.up(boot="pvh", mem="3G", files=GUEST_FILES)
    watch = lab.start_pulse(mem="1G", mib=16)
    before = pages(lab, 1)
    assert before[:3] == [1, 0, 0]
    detached(lab)
    huge, large, small, _ = pages(lab, 1)
    assert huge == 0 and small > 0 and large + small // 512 == 512
    lab.host(1).run("migrate cancel web1")
    assert ended(lab)["result"] == "cancelled"
    assert settled_pages(lab, 1, before) == before
    move(lab, 1, 2, "stun=1s")
    assert settled_pages(lab, 2, before) == before
    still_whole(lab, watch)


def test_a_method_that_the_cpu_has_not(lab):
    lab.up(hosts=1, boot="pvh", mem="512M", conf="[host]\ndirty_tracking=log\n")
    assert "tern.conf: dirty_tracking=log: the CPU keeps no log of dirtied pages; bits is used" in lab.host(1).log()
    tracking = lab.host(1).json("host cpu")["dirty_tracking"]
    assert tracking == {"method": "bits", "why": "not log: the CPU keeps no log of dirtied pages"}
