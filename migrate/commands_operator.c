/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operator as the second channel between two hosts (migrate resolve), and the table of peers.
 */
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/log.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "migrate/codes.h"
#include "migrate/migrate.h"
#include "migrate/peer.h"
#include "migrate/receive.h"
#include "migrate/send.h"
#include "net/net.h"
#include "vmm/vm.h"

/* --- migrate resolve --- */

static void explain_send(struct shell *shell, const struct send *send)
{
	const char *vm = send->receipt.vm, *to = send->receipt.to;

	json_string(shell, "here", handover_phase_name(send->record->source.phase));
	json_u64(shell, "epoch", send->record->source.epoch);
	json_string(shell, "peer", to);
	if (send->record->source.phase != SOURCE_GIVEN) {
		shell_print(shell, "%s is this host's (epoch %llu): nothing is to be resolved\n",
			    vm, (unsigned long long)send->record->source.epoch);
		return;
	}
	shell_print(shell,
		    "%s was given to %s (epoch %llu), which has not confirmed. Its memory is kept "
		    "here, stopped.\n"
		    "  %s reachable again: it settles by itself. To have the guest back: migrate "
		    "cancel %s\n"
		    "  %s powered off for good: migrate resolve %s own --i-powered-off-peer=%s\n"
		    "  Never run the second while %s is on: the guest may be running there.\n",
		    vm, to, (unsigned long long)send->record->source.epoch, to, vm, to, vm, vm, to);
}

static void explain_arrival(struct shell *shell, const struct arrival *arrival)
{
	const char *vm = arrival->vm->config.name;

	json_string(shell, "here", arrival->is_verified ? "held" : "incomplete");
	json_u64(shell, "epoch", arrival->epoch);
	json_string(shell, "peer", arrival->from);
	if (!arrival->is_verified) {
		shell_print(shell,
			    "%s is coming in from %s, which owns it: nothing is to be resolved\n",
			    vm, arrival->from);
		return;
	}
	shell_print(shell,
		    "a whole copy of %s (epoch %llu) is kept here, stopped; %s has not said who "
		    "runs it.\n"
		    "  %s reachable again: it settles by itself.\n"
		    "  %s powered off for good: migrate resolve %s run --i-powered-off-peer=%s\n"
		    "  the guest runs at %s: migrate resolve %s drop --i-powered-off-peer=%s "
		    "forgets this copy\n"
		    "  Never run it here while %s is on: the guest may be running there.\n",
		    vm, (unsigned long long)arrival->epoch, arrival->from, arrival->from,
		    arrival->from, vm, vm, arrival->from, vm, vm, arrival->from);
}

static enum cmd_result resolve_send(struct shell *shell, struct send *send, const char *what)
{
	if (strcmp(what, "own"))
		return migrate_fail(shell, "E-BAD-VALUE", what,
				    "this host is the source: it can only take the guest back (own)");
	if (send->record->source.phase != SOURCE_GIVEN)
		return migrate_fail(shell, "E-NO-SUCH-MOVE", send->receipt.vm, "it was not given away");
	log_warn("migrate resolve: the operator says that %s is powered off; %s goes on here",
		 send->receipt.to, send->receipt.vm);
	send_force(send);
	return CMD_OK;
}

static enum cmd_result resolve_arrival(struct shell *shell, struct arrival *arrival,
				       const char *what)
{
	if (!arrival->is_verified)
		return migrate_fail(shell, "E-NO-SUCH-MOVE", arrival->vm->config.name,
				    "its copy is not complete");
	if (strcmp(what, "run") && strcmp(what, "drop"))
		return migrate_fail(shell, "E-BAD-VALUE", what,
				    "this host is the destination: run the copy, or drop it");
	log_warn("migrate resolve: by order of the operator the copy of %s from %s %s",
		 arrival->vm->config.name, arrival->from,
		 strcmp(what, "run") ? "is forgotten" : "runs here");
	if (strcmp(what, "run"))
		receive_force_drop(arrival);
	else
		receive_force_start(arrival);
	return CMD_OK;
}

static enum cmd_result run_resolve(struct shell *shell, const struct cmd_args *args)
{
	const char *oath = args_option(args, "--i-powered-off-peer");
	struct arrival *arrival = arrive_named(args->word[0]);
	struct vm *vm = vm_find(args->word[0]);
	struct send *send = vm ? send_of_vm(vm) : NULL;

	if (!send && !arrival)
		return migrate_fail(shell, "E-NO-SUCH-MOVE", args->word[0],
				    "no hand-over of it is open here");
	if (args->count == 1) {
		if (send)
			explain_send(shell, send);
		else
			explain_arrival(shell, arrival);
		return CMD_OK;
	}
	/* The oath names the VM, so that it cannot be given by habit. */
	if (!oath || strcmp(oath, args->word[0]))
		return migrate_fail(shell, "E-BAD-VALUE", "resolve",
				    "say --i-powered-off-peer=%s when that is so", args->word[0]);
	return send ? resolve_send(shell, send, args->word[1])
		    : resolve_arrival(shell, arrival, args->word[1]);
}

static const char *complete_resolve(unsigned word, unsigned index)
{
	static const char *const ways[] = { "own", "run", "drop" };

	if (word == 1)
		return index < ARRAY_COUNT(ways) ? ways[index] : NULL;
	if (word == 0)
		list_for_each(vm, &vm_list, struct vm, link)
			if (vm->migration && index-- == 0)
				return vm->config.name;
	return NULL;
}

static const char *const resolve_options[] = { "--i-powered-off-peer", NULL };
SHELL_COMMAND(migrate_resolve) = {
	.noun = "migrate",
	.verb = "resolve",
	.usage = "migrate resolve NAME [own|run|drop --i-powered-off-peer=NAME]",
	.help = "who owns a guest whose hand-over was cut, and the operator's decision",
	.min_words = 1,
	.max_words = 2,
	.options = resolve_options,
	.run = run_resolve,
	.complete = complete_resolve,
};

/* --- peers --- */

static enum cmd_result run_peer_list(struct shell *shell, const struct cmd_args *args)
{
	const struct peer *peer;

	(void)args;
	json_open_array(shell, "peers");
	for (u32 i = 0; (peer = peer_nth(i)); i++) {
		char ip[16];

		net_format_ip(peer->address.ip, ip);
		shell_print(shell, "%-16s %s:%u\n", peer->name, ip, peer->address.port);
		json_open_object(shell, NULL);
		json_string(shell, "name", peer->name);
		json_string(shell, "address", ip);
		json_u64(shell, "port", peer->address.port);
		json_close_object(shell);
	}
	json_close_array(shell);
	return CMD_OK;
}

static enum cmd_result run_peer_add(struct shell *shell, const struct cmd_args *args)
{
	switch (peer_add(args->word[0], args->word[1])) {
	case 0:
		return CMD_OK;
	case -EEXIST:
		return migrate_fail(shell, "E-PEER-EXISTS", args->word[0],
				    "there is a peer of this name (peer remove)");
	case -EINVAL:
		return migrate_fail(shell, "E-BAD-VALUE", args->word[1], "say: peer add NAME A.B.C.D");
	default:
		return migrate_fail(shell, "E-NO-MEMORY", args->word[0], "no room for another peer");
	}
}

static enum cmd_result run_peer_remove(struct shell *shell, const struct cmd_args *args)
{
	if (peer_remove(args->word[0]))
		return migrate_fail(shell, "E-NO-SUCH-PEER", args->word[0],
				    "there is no such peer (peer list)");
	return CMD_OK;
}

static const char *complete_peer(unsigned word, unsigned index)
{
	const struct peer *peer = peer_nth(index);

	return word == 0 && peer ? peer->name : NULL;
}

SHELL_COMMAND(peer_list) = {
	.noun = "peer",
	.verb = "list",
	.usage = "peer list",
	.help = "the other hosts by name",
	.run = run_peer_list,
};
SHELL_COMMAND(peer_add_) = {
	.noun = "peer",
	.verb = "add",
	.usage = "peer add NAME ADDR",
	.help = "give another host a name",
	.min_words = 2,
	.max_words = 2,
	.run = run_peer_add,
};
SHELL_COMMAND(peer_remove_) = {
	.noun = "peer",
	.verb = "remove",
	.usage = "peer remove NAME",
	.help = "forget a name",
	.min_words = 1,
	.max_words = 1,
	.run = run_peer_remove,
	.complete = complete_peer,
};
