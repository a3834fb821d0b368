/* SPDX-License-Identifier: BSD-2-Clause */
/* Error codes of migrate/, with what they mean and what to do. */
#include "migrate/codes.h"

#include "kernel/fmt.h"

SHELL_ERROR(e_cancelled, "E-CANCELLED",
	    "the operator cancelled the move; the guest runs on at its source");
SHELL_ERROR(e_cpu_address_width, "E-CPU-ADDRESS-WIDTH",
	    "the destination's physical addresses are narrower than the guest was told");
SHELL_ERROR(e_cpu_mismatch, "E-CPU-MISMATCH",
	    "the destination's CPU lacks a feature that the guest was offered");
SHELL_ERROR(e_cpu_vendor, "E-CPU-VENDOR",
	    "the guest was started on another vendor's CPU; it moves between hosts of that vendor only");
SHELL_ERROR(e_device_state, "E-DEVICE-STATE", "a device's state was refused by the destination");
SHELL_ERROR(e_device_version, "E-DEVICE-VERSION",
	    "the destination has other devices, or other versions of them");
SHELL_ERROR(e_digest, "E-DIGEST",
	    "memory or state differed at the destination from what was sent; the guest runs on at "
	    "its source");
SHELL_ERROR(e_guest_stopped, "E-GUEST-STOPPED",
	    "the guest powered off, was paused or died while it moved");
SHELL_ERROR(e_migration_nic, "E-MIGRATION-NIC", "this host's network for moves cannot be used");
SHELL_ERROR(e_operator, "E-NEEDS-OPERATOR",
	    "no message can settle who owns the guest; see migrate resolve");
SHELL_ERROR(e_no_such_move, "E-NO-SUCH-MOVE", "no move, copy or receipt has this name");
SHELL_ERROR(e_no_such_peer, "E-NO-SUCH-PEER", "neither a peer's name (peer list) nor an address");
SHELL_ERROR(e_not_converging, "E-NOT-CONVERGING",
	    "the guest dirties memory faster than the stun limit allows; raise stun= or rate=");
SHELL_ERROR(e_peer, "E-PEER", "the peer gave a reason that this version does not know");
SHELL_ERROR(e_peer_exists, "E-PEER-EXISTS", "there is a peer of this name already");
SHELL_ERROR(e_peer_lost, "E-PEER-LOST", "the connection to the peer broke");
SHELL_ERROR(e_peer_silent, "E-PEER-SILENT", "the peer did not answer in time");
SHELL_ERROR(e_peer_unreachable, "E-PEER-UNREACHABLE", "no connection to the peer");
SHELL_ERROR(e_protocol, "E-PROTOCOL", "the peer broke the migration protocol");
SHELL_ERROR(e_stun_timeout, "E-STUN-TIMEOUT",
	    "the destination did not get ready in time; the guest runs on at its source");
SHELL_ERROR(e_tsc, "E-TSC", "the guest's TSC cannot be continued at the destination");
SHELL_ERROR(e_vcpu_state, "E-VCPU-STATE", "the destination's CPU cannot run the guest's CPU state");
SHELL_ERROR(e_vcpus, "E-VCPUS", "the guest has more vCPUs than the destination gives");
SHELL_ERROR(e_version, "E-VERSION", "the peer speaks another version of the migration protocol");
SHELL_ERROR(e_vm_refused, "E-VM-REFUSED", "the destination cannot make the VM; its reason says why");

enum cmd_result migrate_fail(struct shell *shell, const char *code, const char *what, const char *format, ...)
{
	char why[SHELL_LINE_MAX];
	va_list args;

	va_start(args, format);
	fmt_vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	return shell_fail(shell, shell_code(code, &e_peer), what, "%s", why);
}
