/* SPDX-License-Identifier: BSD-2-Clause */
/* What the commands that talk to another host begin with. */
#include "net/command.h"

#include "net/net.h"
#include "net/netif.h"

SHELL_ERROR(bad_address, "E-BAD-ADDRESS", "not an IPv4 address such as 10.77.0.1");
SHELL_ERROR(no_network, "E-NO-NETWORK", "this host has no network card or no address");
SHELL_ERROR(busy, "E-BUSY", "the same command is running on another console");

bool net_command_begin(struct shell *shell, const struct cmd_args *args, bool is_busy, u32 *ip)
{
	if (net_parse_ip(args->word[0], ip))
		shell_fail(shell, &bad_address, args->word[0], "give the peer's IPv4 address");
	else if (!net_netif(0))
		shell_fail(shell, &no_network, "net", "no network card that Tern knows");
	else if (is_busy)
		shell_fail(shell, &busy, "net", "wait for the other console's");
	else
		return true;
	return false;
}
